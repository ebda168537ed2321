"""The report says what the files say, leaves out what they do not say, and lets no text of the data out of its place."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner

from headstart.cli.results import report as report_command
from headstart.errors import DataError
from headstart.predictions import read_predictions
from headstart.report.evidence import Evidence
from headstart.report.figures_training import last_round
from headstart.report.page import write_report
from headstart.report.timeline import state
from headstart.report.words import interval, number, percent, rate, verdict
from headstart.run_files import RunFiles

ATTACK = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'><!-- {{ 7 * 7 }}"


class Page(HTMLParser):
    """Elements with their attributes, sentences of figures, contents of scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.sentences = [], {}, {}
        self._script = self._figure = None
        self._in_sentence = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag == "script":
            self._script = attributes.get("id", f"code {len(self.scripts)}")
            self.scripts[self._script] = ""
        if tag == "figure":
            self._figure = attributes.get("id")
        self._in_sentence = tag == "p" and self._figure is not None and self._figure not in self.sentences

    def handle_endtag(self, tag):
        if tag == "script":
            self._script = None
        if tag == "p":
            self._in_sentence = False

    def handle_data(self, data):
        if self._script is not None:
            self.scripts[self._script] += data
        elif self._in_sentence:
            self.sentences[self._figure] = self.sentences.get(self._figure, "") + data

    @property
    def figures(self):
        return [attributes["id"] for tag, attributes in self.elements if tag == "figure" and "id" in attributes]


def page_of(folder):
    return Page(write_report(folder).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("variant", "figures"),
    [
        ("multi", ["confusion", "roc", "precision-recall", "reliability", "timeline", "learning", "mistakes", "split"]),
        ("binary", ["confusion", "roc", "precision-recall", "reliability", "timeline", "learning", "mistakes", "split"]),
        ("number", ["predicted-true", "residuals", "timeline", "learning", "mistakes", "split"]),
        ("labels", ["labels", "timeline", "learning", "split"]),
        ("clusters", ["clusters", "timeline", "learning", "split"]),
    ],
)
def test_each_kind_of_target_has_its_figures_with_a_sentence_a_label_and_files(run_folder, variant, figures):
    folder = run_folder(variant, n=90)
    page = page_of(folder)
    assert page.figures == figures
    labels = {
        attributes["id"]: attributes["aria-label"]
        for tag, attributes in page.elements
        if tag == "figure" and "id" in attributes
    }
    for name in figures:
        assert page.sentences[name].strip().endswith("."), name
        assert page.sentences[name].strip() in labels[name]
        assert (folder / "figures" / f"{name}.csv").read_text(encoding="utf-8").count("\n") > 1
    for path in (folder / "figures").glob("*.vl.json"):
        assert "var(--" not in path.read_text(encoding="utf-8")  # stands alone, outside the page's style


def test_the_verdict_says_the_paired_difference_to_the_strongest_baseline(run_folder):
    folder = run_folder("binary", skill=3.0)
    metrics = json.loads((folder / "metrics.json").read_text())
    gap = metrics["differences"]["tfidf-logistic"]["accuracy"]
    text = write_report(folder).read_text(encoding="utf-8")
    ends = f"[{100 * gap['low']:.1f}, {100 * gap['high']:.1f}]"
    assert f"Better than TF-IDF + logistic regression by {100 * gap['value']:.1f} points of accuracy {ends}." in text
    assert f"<b>{metrics['test']['accuracy']['value']:.3f}</b>" in text


@pytest.mark.parametrize(
    ("ends", "start"),
    [
        ((0.02, 0.2), "Better than TF-IDF"),
        ((-0.2, -0.02), "Worse than TF-IDF"),
        ((-0.02, 0.2), "Not shown to be better than TF-IDF"),
    ],
)
def test_a_verdict_follows_the_interval_not_the_value(ends, start):
    found = {"value": sum(ends) / 2, "low": ends[0], "high": ends[1]}
    assert verdict("accuracy", found, "tfidf-logistic").startswith(start)


def test_a_lower_error_is_the_better_one():
    text = verdict("mae", {"value": -0.5, "low": -0.7, "high": -0.3}, "mean")
    assert text == "Better than mean of the training values by 0.500 in mean absolute error [0.300, 0.700]."


def test_the_confusion_sentence_counts_the_most_frequent_mistake(run_folder):
    folder = run_folder("multi")
    run = next(o for o in read_predictions(folder / "predictions.parquet") if (o.model, o.split) == ("run", "test"))
    wrong = [(t, p.value) for t, p in zip(run.targets, run.predictions, strict=True) if t != p.value]
    most = max(set(wrong), key=wrong.count)
    assert most == ("neutral", "positive")  # as the fixture makes it
    assert f"neutral called positive, {wrong.count(most)} of {len(wrong)}." in page_of(folder).sentences["confusion"]


def test_cells_open_the_examples_that_they_count(run_folder):
    page = page_of(run_folder("multi", n=120))
    cells = {a["data-cell"]: int(a["data-count"]) for tag, a in page.elements if tag == "button"}
    examples = json.loads(page.scripts["examples-data"])
    assert sum(cells.values()) == 120
    assert {key: len(found) for key, found in examples.items()} == {key: min(n, 40) for key, n in cells.items() if n}


def test_the_timeline_tells_trained_frozen_and_replayed_stages_apart(run_folder):
    folder = run_folder("multi", n=60)
    ledger = json.loads((folder / "ledger.json").read_text())
    head_phase, first_unfreezing = ledger["phases"][:2]
    assert [state(stage, ledger["stages"], head_phase) for stage in ("head", "layer.5", "embeddings")] == [
        "trains",
        "replayed",
        "replayed",
    ]
    assert [state(stage, ledger["stages"], first_unfreezing) for stage in ("layer.5", "layer.4")] == ["trains", "frozen"]
    text = page_of(folder).sentences["timeline"]
    assert "4 stages of 7 trained in 5 phases, 3 stages stayed frozen." in text
    assert "layer.5 moved furthest: its weights changed by 11.2 %." in text
    assert "72 of 264 steps ran on stored features." in text


def test_a_stored_boundary_is_replayed_up_to_its_stage_and_frozen_behind():
    stages = ["stem", "layer1", "layer2", "head"]
    phase = {"rates": {"head": 1e-3}, "stored": ["layer1"]}
    assert [state(stage, stages, phase) for stage in stages] == ["replayed", "replayed", "frozen", "trains"]


def test_text_of_the_data_stays_text(run_folder):
    folder = run_folder("multi", n=80, excerpt=ATTACK)
    text = write_report(folder).read_text(encoding="utf-8")
    page = Page(text)
    assert "window.hacked = 1</script>" not in text
    assert "img" not in [tag for tag, _ in page.elements]
    assert [tag for tag, _ in page.elements].count("script") == 5  # three of data, the charts' library, the page's own
    shown = [row.get("excerpt") for found in json.loads(page.scripts["examples-data"]).values() for row in found]
    assert ATTACK in shown  # whole, and inert: put in by textContent
    assert "{{ 7 * 7 }}" in text.replace("&#39;", "'")


def test_the_page_loads_nothing(run_folder):
    text = write_report(run_folder("binary", n=80)).read_text(encoding="utf-8")
    page = Page(text)
    assert not [a for _, a in page.elements if "src" in a or str(a.get("href", "")).startswith(("http", "//"))]
    assert not [tag for tag, _ in page.elements if tag in ("link", "iframe", "object", "embed")]
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    assert not re.search(r"@import|url\(", style.group(1))
    policy = next(
        a["content"] for tag, a in page.elements if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'")
    assert len(text) < 2.5e6


def test_concerns_carry_their_numbers(run_folder):
    folder = run_folder("binary", n=60)
    data = json.loads((folder / "data.json").read_text())
    data["counts"]["train"] = {"negative": 40, "positive": 660}
    (folder / "data.json").write_text(json.dumps(data))
    ledger = json.loads((folder / "ledger.json").read_text())
    ledger["phases"][1]["trainable"]["unmoved"] = ["backbone.layer.5.bias"]
    (folder / "ledger.json").write_text(json.dumps(ledger))
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"event": "warning", "message": "the file has no header"}\n')
    text = write_report(folder).read_text(encoding="utf-8")
    for part in (
        "1 leak between splits found in the data: 1 moved before training.",
        "Small test: 60 examples",
        "660 training examples of “positive”, 40 of “negative”",
        "1 trainable tensor did not move in phase “unfreeze layer.5”: backbone.layer.5.bias.",
        "17 texts of 1,100 are longer",
        "The file has no header",
    ):
        assert part in text, part


def test_labels_that_nobody_knows_are_counted_in_each_part(run_folder):
    folder = run_folder("binary", n=60)
    assert "not known" not in write_report(folder).read_text(encoding="utf-8")
    data = json.loads((folder / "data.json").read_text())
    data["unknown"] = {"train": {"positive": 1234}, "val": {}, "test": {"positive": 7}}
    (folder / "data.json").write_text(json.dumps(data))
    text = write_report(folder).read_text(encoding="utf-8")
    assert text.count("not known</small>") == 2 and "; 1,234 not known</small>" in text and "; 7 not known</small>" in text


def test_medical_data_is_marked_as_research_only(run_folder):
    folder = run_folder("binary", n=60)
    assert "research use only" not in write_report(folder).read_text(encoding="utf-8")
    data = json.loads((folder / "data.json").read_text())
    data["facts"]["research_only"] = True
    (folder / "data.json").write_text(json.dumps(data))
    assert "For research use only." in write_report(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("missing", "gone"),
    [
        (["ledger.json"], ["timeline"]),
        (["metrics.jsonl"], ["learning"]),
        (["data.json"], ["split"]),
        (["predictions.parquet"], ["confusion", "roc", "precision-recall", "reliability", "mistakes"]),
        (["events.jsonl", "env.json", "recipe.yaml", "recipe.lock.yaml", "split.json"], []),
        (["metrics.json"], ["confusion", "roc", "precision-recall", "reliability", "mistakes"]),
    ],
)
def test_what_has_no_file_is_left_out(run_folder, missing, gone):
    folder = run_folder("multi", n=60)
    everything = page_of(folder).figures
    for name in missing:
        (folder / name).unlink()
    assert page_of(folder).figures == [name for name in everything if name not in gone]


def test_without_baselines_the_verdict_says_so(run_folder):
    folder = run_folder("multi", n=60)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics |= {"baselines": {}, "differences": {}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert "there is no baseline to hold it against" in write_report(folder).read_text(encoding="utf-8")


def test_folds_are_listed_and_curves_are_of_the_last_round(run_folder):
    folder = run_folder("multi", n=60)
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(
        json.dumps(metrics | {"folds": [{"accuracy": 0.8125}, {"accuracy": 0.75, "mcc": 0.5}]})
    )
    assert "0.812" in write_report(folder).read_text(encoding="utf-8")
    steps = [
        {"fold": 1, "step": 10},
        {"fold": 2, "step": 10},
        {"step": 20},
        {"step": 40},
    ]  # steps alone do not tell folds apart
    assert last_round(steps) == [{"step": 20}, {"step": 40}]


def test_a_head_that_learns_in_one_go_still_has_a_timeline(run_folder):
    folder = run_folder("binary", n=60)
    ledger = json.loads((folder / "ledger.json").read_text())
    ledger["phases"] = [ledger["phases"][0] | {"steps": 0, "schedule": []}]
    (folder / "ledger.json").write_text(json.dumps(ledger | {"total_steps": 0}))
    epoch = {
        "phase": "head",
        "epoch": 1,
        "step": 0,
        "seconds": 0.0,
        "train_loss": None,
        "val": {"accuracy": 0.8},
        "lr": {},
        "best": True,
    }
    (folder / "metrics.jsonl").write_text(json.dumps(epoch) + "\n")
    page = page_of(folder)
    assert "Its features were computed once." in page.sentences["timeline"]
    assert "learning" not in page.figures


def test_a_broken_file_is_an_error_and_the_old_report_stays(run_folder):
    folder = run_folder("multi", n=60)
    before = write_report(folder).read_bytes()
    (folder / "metrics.json").write_text("{")
    with pytest.raises(DataError, match=r"metrics\.json: broken JSON"):
        write_report(folder)
    assert (folder / "report.html").read_bytes() == before


def test_the_same_folder_gives_the_same_page(run_folder):
    folder = run_folder("binary", n=60)
    assert write_report(folder).read_bytes() == write_report(folder).read_bytes()


def test_labels_that_only_occur_in_the_test_are_rows_of_the_matrix(run_folder):
    folder = run_folder("multi", n=60)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["target"]["labels"] = ["negative", "positive", "neutral"][:2]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    evidence = Evidence(RunFiles(folder))
    assert evidence.labels == ["negative", "positive", "neutral"]
    assert np.bincount(evidence.truth).sum() == 60
    assert "confusion" in page_of(folder).figures


def test_numbers_are_written_for_people():
    assert [number(value) for value in (0.8712, -0.05, 123.456, 54321.0)] == ["0.871", "−0.050", "123.5", "5.432e+04"]
    assert [percent(value, 1) for value in (0.5, 0.99951, 1.0)] == ["50.0 %", "> 99.9 %", "100.0 %"]
    assert interval({"low": 0.8, "high": 0.9}) == "[0.800, 0.900]"
    assert [rate(value) for value in (1e-3, 2.5e-5)] == ["1e-3", "2.5e-5"]


def test_the_command_writes_the_report_and_prints_its_path(run_folder):
    folder = run_folder("binary", n=60)
    latest = folder.parent / "latest"
    latest.symlink_to(folder.name)
    result = CliRunner().invoke(report_command, [str(latest)])
    assert result.exit_code == 0, result.output
    assert result.output.strip() == str(folder / "report.html")
    assert (folder / "report.html").exists()
