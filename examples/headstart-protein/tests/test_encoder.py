from __future__ import annotations

import hashlib
import json

import pytest
import torch
from headstart import errors

from headstart_protein.encoder import ProteinEncoder
from headstart_protein.weights import ESM2_8M, weights_at

FOLDERS = ["esm", "bert"]


@pytest.fixture(params=FOLDERS)
def folder(request):
    return request.getfixturevalue(request.param)


def features_of(backbone, *sequences):
    with torch.no_grad():
        return backbone.eval()(backbone.prepare(sequences))


def test_a_residue_is_a_row_and_nothing_else_is(folder):
    backbone = ProteinEncoder(weights=str(folder))
    features = features_of(backbone, "ACDEFG", "MK")
    assert features["tokens"].shape == (2, 6, 16)
    assert features["mask"].tolist() == [[True] * 6, [True] * 2 + [False] * 4]
    assert features["tokens"][1, 2:].abs().sum() == 0
    assert torch.allclose(features["pooled"][1], features["tokens"][1, :2].mean(dim=0), atol=1e-6)


def test_a_row_does_not_depend_on_its_neighbours(folder):
    backbone = ProteinEncoder(weights=str(folder))
    together, alone = features_of(backbone, "ACDEFGHIKL", "MKW"), features_of(backbone, "MKW")
    assert torch.allclose(together["tokens"][1, :3], alone["tokens"][0], atol=1e-5)


def test_tokens_are_those_of_the_networks_own_tokenizer(esm):
    from transformers import EsmTokenizer

    ours = ProteinEncoder(weights=str(esm)).prepare(["ACDEFGHIKLMNPQRSTVWYX"])["input_ids"]
    theirs = EsmTokenizer(str(esm / "vocab.txt"))("ACDEFGHIKLMNPQRSTVWYX", return_tensors="pt")["input_ids"]
    assert torch.equal(ours, theirs)


def test_values_are_those_of_the_network_itself(esm):
    from transformers import EsmModel

    backbone = ProteinEncoder(weights=str(esm))
    batch = backbone.prepare(["ACDEFGHIKL"])
    with torch.no_grad():
        theirs = EsmModel.from_pretrained(str(esm)).eval()(**batch).last_hidden_state
    assert torch.equal(features_of(backbone, "ACDEFGHIKL")["tokens"], theirs[:, 1:-1])


def test_an_unknown_residue_is_read_as_x_or_as_a_masked_one(esm, bert):
    for place, token in ((esm, "X"), (bert, "[MASK]")):
        backbone = ProteinEncoder(weights=str(place))
        assert backbone.prepare(["AXC"])["input_ids"][0, 2] == backbone.vocabulary.tokens.index(token)


def test_stages_follow_the_layers_and_own_everything(folder):
    backbone = ProteinEncoder(weights=str(folder))
    layers = backbone.network.config.num_hidden_layers
    names = [stage.name for stage in backbone.stages]
    assert names[: layers + 1] == ["embeddings", *(f"layer.{at}" for at in range(layers))]
    assert names[layers + 1 :] == (["emb_layer_norm_after"] if folder.name.startswith("esm") else [])
    assert not any("contact_head" in name or "pooler" in name for name, _ in backbone.network.named_parameters())


def test_long_proteins_are_cut_and_say_so(bert):
    backbone = ProteinEncoder(weights=str(bert))
    assert backbone.max_residues == 38
    assert backbone.lost_tokens(["A" * 50, "A"]) == [12, 0]
    assert features_of(backbone, "A" * 50)["tokens"].shape == (1, 38, 16)
    with pytest.raises(errors.UsageError, match="positions for 38"):
        ProteinEncoder(weights=str(bert), max_residues=39)


def test_saving_and_making_again_gives_the_same(folder, tmp_path):
    options = {"weights": str(folder), "pooling": "max", "sha256": weights_at(str(folder)).sha256}
    backbone = ProteinEncoder(**options)
    with torch.no_grad():
        backbone.network.embeddings.word_embeddings.weight.mul_(2)
    backbone.save(tmp_path)
    again = ProteinEncoder(**ProteinEncoder.saved_options(tmp_path, options))
    assert torch.equal(features_of(again, "MKTAY")["pooled"], features_of(backbone, "MKTAY")["pooled"])


def test_a_file_with_another_hash_is_refused_before_it_is_read(folder, tmp_path):
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert ProteinEncoder(weights=str(folder), sha256=digest).card.sha256 == digest
    with pytest.raises(errors.WeightsError, match=f"has the sha256 {digest}, not {ESM2_8M}"):
        ProteinEncoder(weights=str(folder), sha256=ESM2_8M)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("facebook/esm2_t6_8M_UR50D", "needs its commit: facebook/esm2_t6_8M_UR50D@<40 digits>"),
        ("facebook/esm2_t6_8M_UR50D@main", "needs its commit"),
        ("./nowhere", "there is no file or folder './nowhere'"),
    ],
)
def test_weights_that_cannot_be_pinned_are_refused(place, message):
    with pytest.raises(errors.WeightsError, match=message):
        ProteinEncoder(weights=place)


def test_a_hub_id_offline_prints_the_line_that_fetches_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(errors.WeightsError, match=r"hf download some/model --revision 0{40}"):
        ProteinEncoder(weights=f"some/model@{'0' * 40}")


def test_another_architecture_and_a_foreign_vocabulary_are_refused(bert, tmp_path):
    config = json.loads((bert / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "gpt2"}))
    for name in ("vocab.txt", "model.safetensors"):
        (tmp_path / name).write_bytes((bert / name).read_bytes())
    with pytest.raises(errors.WeightsError, match="model_type is 'gpt2'; known here: bert, esm"):
        ProteinEncoder(weights=str(tmp_path))
    (tmp_path / "vocab.txt").write_text("[PAD]\nthe\nof\n")
    with pytest.raises(errors.WeightsError, match="has no token for A, C"):
        ProteinEncoder(weights=str(tmp_path))


def test_code_beside_the_weights_is_never_run(bert, tmp_path):
    for file in bert.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((bert / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Evil"}}))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    ProteinEncoder(weights=str(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_weights_that_do_not_fit_their_config_are_refused(bert, tmp_path):
    for file in bert.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((bert / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 5}))
    with pytest.raises(errors.WeightsError, match="lacks 32 tensors"):
        ProteinEncoder(weights=str(tmp_path))


def test_random_weights_have_a_card_that_says_so(esm):
    card = ProteinEncoder(weights=str(esm), pretrained=False).card
    assert card.source.startswith("none (random weights")
    assert card.sha256 == ""
