"""Words of texts: weights add up to what they explain, point where the sign was planted, and reach terminal and report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.builtin.head_ordinal import Ordinal
from headstart.builtin.heads_closed import Logistic
from headstart.builtin.heads_neural import Linear, MultiLabel, Regression
from headstart.cli.main import execute
from headstart.errors import UsageError
from headstart.example import Example, Target
from headstart.explained_cases import CLOSE, SURE, WRONG, choose_cases
from headstart.model import Model
from headstart.predictions import SavedOutcome, SavedPrediction
from headstart.run import Run, load
from headstart_nlp.attribution.words import weigh
from headstart_nlp.encoder import Encoder

pytest.importorskip("captum", reason='needs pip install "headstart-nlp[explain]"')

Tiny = Callable[[str], Path]
TWO = Target("class", ("bad", "good"), "good")

RECIPE = """
name: planted
data: {{use: table, path: {path}, text: text, label: label, positive: good}}
backbone: {{use: nlp/encoder, weights: {weights}}}
head: linear
strategy: {{use: full, epochs: 10, lr: 1e-2}}
split: {{test: 0.3, val: 0.2}}
train: {{batch_size: 8, device: cpu}}
baselines: none
"""


def model_of(folder: Path, head: type, target: Target, **options: object) -> Model:
    """A tiny encoder with a head whose weights are large enough for a clear answer."""
    encoder = Encoder(weights=str(folder), **options)  # type: ignore[arg-type]  # options of the caller
    made = head(encoder.ports, target)
    torch.manual_seed(1)
    if hasattr(made, "out"):
        torch.nn.init.normal_(made.out.weight)
    return Model(encoder, made).eval()


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "albert", "modernbert"])
def test_weights_add_up_to_the_score_less_that_of_the_empty_text(tiny: Tiny, texts: tuple[str, ...], name: str) -> None:
    weighed = weigh(model_of(tiny(name), Linear, TWO), texts[2], "good", steps=64)
    total = sum(weight for *_, weight in weighed.words)
    specials = abs(weighed.score - weighed.empty) * weighed.gap
    assert weighed.gap < 0.05 or specials < 1e-3
    assert [weighed.text[start:end] for start, end, _ in weighed.words] == [w for w in texts[2].split() if w]
    assert np.sign(total) == np.sign(weighed.score - weighed.empty)


def test_the_other_of_two_labels_has_the_opposite_weights(tiny: Tiny, texts: tuple[str, ...]) -> None:
    model = model_of(tiny("bert"), Linear, TWO)
    good, bad = (weigh(model, texts[0], label) for label in ("good", "bad"))
    assert [w for *_, w in good.words] == pytest.approx([-w for *_, w in bad.words], abs=1e-5)


def test_windows_of_a_long_text_are_weighed_together(tiny: Tiny) -> None:
    model = model_of(tiny("bert"), Linear, TWO, long="windows", max_tokens=8)
    text = " ".join(f"w{at}" for at in range(20))
    weighed = weigh(model, text, "good", steps=64)
    assert len(weighed.words) == 20
    assert weighed.gap < 0.05


def test_words_behind_the_cut_have_no_weight(tiny: Tiny) -> None:
    weighed = weigh(model_of(tiny("bert"), Linear, TWO, max_tokens=6), "w1 w2 w3 w4 w5 w6", "good")
    assert [weighed.text[start:end] for start, end, _ in weighed.words] == ["w1", "w2", "w3", "w4"]


def test_heads_of_other_kinds_are_explained_in_their_own_terms(tiny: Tiny, texts: tuple[str, ...]) -> None:
    number = weigh(model_of(tiny("bert"), Regression, Target("number")), texts[0], "", steps=64)
    several = weigh(model_of(tiny("bert"), MultiLabel, Target("labels", ("a", "b"))), texts[0], "b", steps=64)
    assert number.gap < 0.05
    assert several.gap < 0.05


def test_a_head_without_gradient_is_explained_along_its_log_odds(tiny: Tiny, texts: tuple[str, ...]) -> None:
    encoder = Encoder(weights=str(tiny("bert"))).eval()
    with torch.no_grad():
        pooled = encoder(encoder.prepare(texts))["pooled"]
    head = Logistic(encoder.ports, TWO)
    head.fit({"pooled": pooled}, ["good", "bad", "good", "bad"])
    weighed = weigh(Model(encoder, head).eval(), texts[0], "good", steps=64)
    assert weighed.gap < 0.05


def test_grades_in_their_order_are_explained_by_the_question_that_they_answer(tiny: Tiny, texts: tuple[str, ...]) -> None:
    encoder = Encoder(weights=str(tiny("bert"))).eval()
    head = Ordinal(encoder.ports, Target("class", ("1 star", "2 stars", "3 stars")))
    torch.nn.init.normal_(head.out.weight)
    top, bottom = (weigh(Model(encoder, head).eval(), texts[0], label, steps=64) for label in ("3 stars", "1 star"))
    assert top.gap < 0.05
    with torch.no_grad():
        logits = head.outputs(encoder(encoder.prepare([texts[0]])))[0]
    assert top.score == pytest.approx(float(logits[1]), abs=1e-5)
    assert bottom.score == pytest.approx(float(-logits[0]), abs=1e-5)
    assert [weight for *_, weight in bottom.words] == pytest.approx([-weight for *_, weight in top.words], abs=1e-4)


def test_cases_are_chosen_by_rule() -> None:
    said = {"a": ("good", 0.9), "b": ("good", 0.99), "c": ("bad", 0.48), "d": ("bad", 0.1), "e": ("good", 0.7)}
    examples = [Example(name, name, target) for name, target in zip(said, ("bad", "good", "bad", "bad", "good"), strict=True)]
    predictions = [SavedPrediction(value, {"good": share, "bad": 1 - share}) for value, share in said.values()]
    cases = choose_cases(SavedOutcome("run", "test", -1, examples, predictions), "class", 4)
    assert [(case.id, case.why) for case in cases] == [("a", WRONG), ("c", CLOSE), ("b", SURE), ("d", SURE)]
    assert cases[0].probability == pytest.approx(0.9)


@pytest.fixture(scope="module")
def planted(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on texts in which one word decides."""
    folder = tmp_path_factory.mktemp("planted")
    rng = np.random.default_rng(0)
    rows = ["text,label"]
    for at in range(120):
        words = [f"w{rng.integers(60)}" for _ in range(6)]
        words[int(rng.integers(6))] = ("dull", "joy")[at % 2]
        rows.append(f"{' '.join(words)},{('bad', 'good')[at % 2]}")
    (folder / "rows.csv").write_text("\n".join(rows) + "\n")
    (folder / "recipe.yaml").write_text(RECIPE.format(path=folder / "rows.csv", weights=tiny("bert")))
    assert execute(["run", str(folder / "recipe.yaml"), "--out", str(folder / "runs")]) == 0
    return load(folder / "runs/latest")


def test_the_word_that_decides_weighs_most(planted: Run, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert execute(["explain", str(planted.folder), "w1 w2 joy w3", "w4 dull w5"]) == 0
    said = capsys.readouterr().out
    found = json.loads((planted.folder / "explanations/words.json").read_text())
    decided = [
        (case, word) for case, word in zip(found["cases"], ("joy", "dull"), strict=True) if case["score"] - case["empty"] > 1
    ]
    assert decided  # what the network says of a text without words needs no word to speak for it
    for case, word in decided:
        heaviest = max(case["words"], key=lambda one: abs(one["weight"]))
        assert heaviest["word"] == word
        assert heaviest["weight"] > 0
        assert f"{word} +" in said


def test_the_report_shows_words_of_test_cases_and_lets_no_markup_through(planted: Run) -> None:
    assert execute(["explain", str(planted.folder), "--cases", "3"]) == 0
    page = (planted.folder / "report.html").read_text()
    assert "Words that the answers hang on" in page
    assert 'style="background:rgba(44,138,86' in page
    assert execute(["explain", str(planted.folder), "<script>joy</script>"]) == 0
    page = (planted.folder / "report.html").read_text()
    assert "<script>joy" not in page
    assert ">joy</span>" in page


def test_an_unknown_method_is_refused(planted: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["explain", str(planted.folder), "--method", "occlusion"]) == 2
    assert "methods: integrated-gradients" in capsys.readouterr().err


def test_a_head_on_tokens_is_refused(tiny: Tiny) -> None:
    encoder = Encoder(weights=str(tiny("bert")))
    head = Linear(encoder.ports, TWO)
    head.needs = ("tokens",)  # type: ignore[misc]  # as a head of another plugin may have it
    with pytest.raises(UsageError, match="does not read the vector of a text"):
        weigh(Model(encoder, head).eval(), "w1", "good")
