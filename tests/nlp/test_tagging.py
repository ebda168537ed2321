"""Tags for words: entities are those of seqeval, broken sequences are repaired and counted, words keep their places."""

from __future__ import annotations

import json
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from headstart.device import choose
from headstart.errors import DataError, UsageError
from headstart.example import Example, Target
from headstart.feed import LiveFeed
from headstart.fit import fit
from headstart.head import Prediction
from headstart.model import Model
from headstart.prefix_feed import prove
from headstart.recipe import TrainPlan
from headstart.recipe_file import recipe_from_mapping
from headstart.run import load
from headstart.scores import Remembered
from headstart_nlp.tagging.conll import Conll
from headstart_nlp.tagging.head import Tags
from headstart_nlp.tagging.scheme import entities, is_ended, repaired
from headstart_nlp.tagging.scores import by_type, tag_scores
from headstart_nlp.word_encoder import WordEncoder

seqeval = SimpleNamespace(**run_path(str(Path(__file__).with_name("official_seqeval.py"))))

# those that seqeval's own documentation and tests name come first
DOCUMENTED = [
    ([["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]],
     [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]], (0.5, 0.5, 0.5)),
    ([["B-ORG", "I-ORG"]], [["I-ORG", "I-ORG"]], (1.0, 1.0, 1.0)),
    ([["O", "O", "O", "B-MISC", "I-MISC", "O", "B-ORG"], ["B-PER", "I-PER", "O", "B-PER"]],
     [["O", "O", "B-MISC", "I-MISC", "I-MISC", "O", "O"], ["B-PER", "I-PER", "O", "B-MISC"]], (1 / 3, 1 / 4, 2 / 7)),
]  # fmt: skip
SEQUENCES = [
    ["B-PER", "I-PER", "O", "B-LOC"],
    ["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O", "B-PER", "I-PER"],
    ["O", "O", "O", "B", "I", "I", "O", "B", "I", "O"],
    ["I-PER", "I-LOC", "I-LOC", "B-LOC", "I-PER"],
    ["S-PER", "S-PER", "B-LOC", "E-LOC", "E-LOC", "I-LOC"],
    ["B-PER", "E-LOC", "I-A-B", "B-A-B", "I-A"],
    ["O"],
]


def said(tags):
    return Prediction(tuple(tags))


@pytest.mark.parametrize("tags", SEQUENCES)
def test_entities_are_those_of_seqeval(tags):
    assert entities(tags) == seqeval.get_entities(tags)


@pytest.mark.parametrize("seed", range(300))
def test_entities_are_those_of_seqeval_in_any_sequence(seed):
    rng = np.random.default_rng(seed)
    tags = [str(tag) for tag in rng.choice(["O", *(f"{m}-{k}" for m in "BIES" for k in ("PER", "LOC"))], size=9)]
    assert entities(tags) == seqeval.get_entities(tags)


@pytest.mark.parametrize(("truth", "predicted", "expected"), DOCUMENTED)
def test_scores_are_those_that_seqeval_documents(truth, predicted, expected):
    found = tag_scores([said(tags) for tags in predicted], truth)
    assert (found["entity_precision"], found["entity_recall"], found["entity_f1"]) == pytest.approx(expected)


def test_scores_by_type_and_resampled_counts():
    truth, predicted, _ = DOCUMENTED[2]
    predictions = Remembered([said(tags) for tags in predicted])
    assert by_type(predictions, truth)["PER"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "n": 2.0}
    twice = tag_scores([predictions[1]] * 2, [truth[1]] * 2)
    assert tag_scores(predictions, truth, np.array([0, 2])) == pytest.approx(twice)
    assert "entity_f1" not in tag_scores([said(["O"])], [["O"]]), "undefined without entities"


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("marks", ["BI", "BIES"])
def test_a_repaired_sequence_has_the_same_entities_and_needs_no_repair(seed, marks):
    rng = np.random.default_rng(seed)
    tags = [str(tag) for tag in rng.choice(["O", *(f"{m}-{k}" for m in marks for k in ("PER", "LOC"))], size=8)]
    ended = is_ended(tags)
    sound, changed = repaired(tags, ended=ended)
    assert entities(sound) == entities(tags)
    assert repaired(sound, ended=ended) == (sound, 0)
    assert changed == sum(a != b for a, b in zip(tags, sound, strict=True))


COLUMNS = """-DOCSTART- -X- O O

EU NNP I-NP B-ORG
rejects VBZ I-VP O

-DOCSTART- -X- O O

Peter NNP I-NP I-PER
Blackburn NNP I-NP I-PER
"""


def test_conll_columns_give_sentences_by_document_and_repairs_are_counted(tmp_path):
    path = tmp_path / "eng.train"
    path.write_text(COLUMNS, "utf-8")
    data = Conll(path=str(path))
    first, second = data.examples()
    assert (first.input, first.target) == (("EU", "rejects"), ("B-ORG", "O"))
    assert second.target == ("B-PER", "I-PER")
    assert first.group != second.group
    assert data.target == Target("tags", ("O", "B-ORG", "B-PER", "I-PER"))
    facts = data.facts()
    assert facts["repaired"] == 1
    assert facts["entities"] == {"ORG": 1, "PER": 1}
    assert "1 tags in 1 sentences" in facts["warnings"][0]


def test_documents_that_are_counted_are_their_files_and_named_ones_are_everyones(tmp_path):
    """CoNLL's own files are eng.train and eng.testb: one stem, and other documents."""
    for name in ("eng.train", "eng.testb"):
        (tmp_path / name).write_text(COLUMNS, "utf-8")
    counted = Conll(path=str(tmp_path / "eng.train"), test_path=str(tmp_path / "eng.testb")).examples()
    assert len({example.group for example in counted}) == len(counted) == 4
    for name in ("a.jsonl", "b.jsonl"):
        row = {"words": [name], "tags": ["O"], "document": "letter 7"}
        (tmp_path / name).write_text(json.dumps(row) + "\n", "utf-8")
    first, second = Conll(path=str(tmp_path / "a.jsonl"), test_path=str(tmp_path / "b.jsonl")).examples()
    assert first.group == second.group is not None


def test_json_lines_and_untagged_words(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"tokens": ["Ann", "ran"], "ner_tags": ["S-PER", "O"]}) + '\n\n{"words": ["Hi"]}\n', "utf-8")
    first, second = Conll(path=str(path)).examples()
    assert first.target == ("S-PER", "O")
    assert second.target is None
    plain = tmp_path / "new.txt"
    plain.write_text("Ann ran .\n\nBob sat\n", "utf-8")
    assert [e.input for e in Conll(path="unused").open(plain)] == [("Ann", "ran", "."), ("Bob", "sat")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"words": ["a"], "tags": ["O", "O"]}', "line 1: 1 words need as many tags"),
        ('{"words": "a b"}', 'needs "words", a list of texts'),
        ('{"words": ["a"], "tags": ["PER"]}', "'PER' is no tag"),
        ("{", "is no JSON"),
        ("\n", "holds no sentence"),
    ],
)
def test_faults_of_a_file_are_named_with_their_line(tmp_path, content, words):
    path = tmp_path / "x.jsonl"
    path.write_text(content, "utf-8")
    with pytest.raises(DataError, match=words):
        Conll(path=str(path)).examples()


TOGETHER = ("bert", "roberta", "distilbert", "electra", "mpnet", "albert", "t5")


@pytest.mark.parametrize("name", TOGETHER)
def test_each_word_has_the_vector_of_its_first_piece_also_behind_a_window(tiny, name):
    encoder = WordEncoder(weights=str(tiny(name)), max_tokens=9)
    encoder.eval()
    words = tuple(f"w{i}" for i in range(20))
    with torch.no_grad():
        found = encoder(encoder.prepare([words, words[:3]]))
        windows = [words[at : at + encoder.room] for at in range(0, 20, encoder.room)]
        alone = torch.cat([encoder(encoder.prepare([part]))["tokens"][0] for part in windows])
    assert found["mask"].sum(dim=1).tolist() == [20, 3]
    assert torch.allclose(found["tokens"][0], alone, atol=1e-5)
    assert not found["tokens"][1, 3:].any()


def test_pieces_are_those_of_the_tokenizer_and_the_rest_is_said():
    encoder = WordEncoder(max_tokens=12, long="head")
    words = ("Blackburn", "rejects", "unbelievability", "\u200b", "x")
    expected = encoder.tokenizer.hf(list(words[:2]), is_split_into_words=True)["input_ids"]
    assert encoder.prepare([words[:2]])["input_ids"][0].tolist() == expected
    assert encoder.prepare([words])["first"].shape == (1, 5)
    assert encoder.lost_tokens([words * 4])[0] > 0
    assert encoder.sizes([words]) == [encoder.prepare([words])["input_ids"].shape[1]]
    with pytest.raises(DataError, match="a list of words"):
        encoder.prepare(["a text"])


@pytest.mark.parametrize("name", ["gpt2", "llama", "modernbert"])
def test_a_network_that_cannot_keep_windows_apart_reads_the_beginning(tiny, name):
    with pytest.raises(UsageError, match="cannot keep the windows"):
        WordEncoder(weights=str(tiny(name)), max_tokens=9)
    encoder = WordEncoder(weights=str(tiny(name)), max_tokens=9, long="head")
    found = encoder(encoder.prepare([tuple(f"w{i}" for i in range(20))]))
    assert found["mask"].sum() == 20
    assert not found["tokens"][0, 9:].any()


def test_every_boundary_replays_to_the_bit():
    encoder = WordEncoder(max_tokens=12)
    encoder.eval()
    data = Conll(path="unused")
    model = Model(encoder, Tags(encoder.ports, Target("tags", ("O", "B-X"))))
    texts = ["unbelievability of it all is what they said to us", "short one", "the film that we all saw"]
    examples = [Example(str(i), tuple(text.split())) for i, text in enumerate(texts)]
    proof = prove(LiveFeed(model, data, examples, choose(TrainPlan())), [stage.name for stage in encoder.stages])
    assert proof.refused == {}


def test_loss_counts_each_word_once_and_padding_never():
    head = Tags({"tokens": 2, "mask": 1}, Target("tags", ("O", "B-X")), dropout=0.0)
    tokens = torch.randn(2, 4, 2)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    both = head.loss({"tokens": tokens, "mask": mask}, [("O", "B-X", "O", "O"), ("O", "O")])["cross_entropy"]
    one = head.loss({"tokens": tokens[:1], "mask": mask[:1]}, [("O", "B-X", "O", "O")])["cross_entropy"]
    two = head.loss({"tokens": tokens[1:, :2], "mask": mask[1:, :2]}, [("O", "O")])["cross_entropy"]
    assert both.item() == pytest.approx((one.item() + two.item()) / 2, rel=1e-5)
    with pytest.raises(DataError, match="'B-Y' does not occur"):
        head.loss({"tokens": tokens, "mask": mask}, [("B-Y",), ("O",)])


NAMES = ("Ann Miller", "Bob Stone", "Carla Lopez", "David King", "Emma Brown", "Frank White")
PLACES = ("Paris", "New York", "Rome", "Los Angeles", "Cairo", "Oslo")


def tagged(count, seed):
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(count):
        words, tags = [], []
        for piece, kind in ((rng.choice(NAMES), "PER"), ("went to", ""), (rng.choice(PLACES), "LOC"), ("again .", "")):
            for at, word in enumerate(str(piece).split()):
                words.append(word)
                tags.append(f"{'I' if at else 'B'}-{kind}" if kind else "O")
        lines.append(json.dumps({"words": [*words, str(rng.integers(10**6))], "tags": [*tags, "O"]}))
    return "\n".join(lines)


def test_a_run_learns_names_and_places_and_predicts_them_again(tmp_path):
    (tmp_path / "train.jsonl").write_text(tagged(60, 0), "utf-8")
    (tmp_path / "test.jsonl").write_text(tagged(20, 1), "utf-8")
    recipe = recipe_from_mapping(
        {
            "data": {"use": "nlp/conll", "path": str(tmp_path / "train.jsonl"), "test_path": str(tmp_path / "test.jsonl")},
            "backbone": "nlp/word-encoder",
            "head": "nlp/tags",
            "strategy": {"use": "probe", "epochs": 20},
        }
    )
    run = fit(recipe, tmp_path / "runs", quiet=True)
    assert run.metrics["selected_by"] == "entity_f1"
    assert run.metrics["test"]["entity_f1"]["value"] > 0.9
    assert run.metrics["test"]["entity_f1"]["low"] <= run.metrics["test"]["entity_f1"]["value"]
    again = load(run.folder)
    assert again.evaluate(tmp_path / "test.jsonl")["test"]["entity_f1"]["value"] == pytest.approx(
        run.metrics["test"]["entity_f1"]["value"]
    )
    found = again.predict(["Ann Miller went to New York again ."])[0].value
    assert entities(found) == [("PER", 0, 1), ("LOC", 4, 5)]
