"""Which ports of a frozen network to join for the chest X-rays: by validation and by folds of the training part alone.

    python benchmarks/chest_ports.py --out FOLDER

The means of all maps beside the pooled features are made once for training and validation of the recipe, and kept in
FOLDER/features.npz; the test pictures are not read. Each set of ports is then learnt by the head `logistic` (c 0.1; also in
five folds of the training part, by patient) and by the head `linear`, whose epoch the validation part chooses.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from contest import DATA
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from headstart import Recipe
from headstart.builtin.heads_closed import Logistic
from headstart.builtin.memory import MemoryVectors
from headstart.example import Target
from headstart.feed import LiveFeed
from headstart.fit import fit
from headstart.job import make_job
from headstart.passing import Pass, Quick
from headstart.plans import SplitPlan
from headstart.recipe import Part

RECIPE = Path(__file__).parents[1] / "recipes/healthcare/chest-xray.yaml"
LABELS = ("NORMAL", "PNEUMONIA")
MAPS = ("map.1", "map.2", "map.3", "map.4")
SETS = (("pooled",), ("pooled", "map.4"), ("pooled", "map.3", "map.4"), ("pooled", *MAPS))


def main() -> None:
    """Print a row of Markdown for each head and set of ports."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    folder: Path = parser.parse_args().out
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "features.npz").exists():
        make_features(folder / "features.npz")
    found = np.load(folder / "features.npz")
    print("| ports | head | validation log loss, AUROC, Brier | five folds |\n|---|---|---|---|")
    for head in ("logistic", "linear"):
        for ports in SETS:
            print(row(dict(found), head, ports), flush=True)


def make_features(file: Path) -> None:
    """Vectors [N, C] of each port, labels and patients of both parts."""
    every = f"head={{use: joined, reads: [pooled, {', '.join(MAPS)}], main: logistic}}"
    job = make_job(Recipe.load(RECIPE, [f"data.path={DATA / 'chest-xray'}", every, "baselines=none"]))
    parts, model = next(iter(job.shared.rounds()))[1], job.built.model.eval()
    kept: dict[str, np.ndarray] = {}
    for part in ("train", "val"):
        live = LiveFeed(model, job.built.data, parts[part], job.compute)
        rows = dict(Pass(live, Quick(len(parts["train"]))).ports(model.head.stored_ports, range(len(parts[part]))))
        vectors = np.stack([rows[at][0].numpy() for at in range(len(rows))])
        starts = np.cumsum(list(model.head.ports.values()))[:-1]
        for port, piece in zip(model.head.ports, np.split(vectors, starts, axis=1), strict=True):
            kept[f"{part} {port}"] = piece
        kept[f"{part} label"] = np.array([example.target for example in parts[part]])
        kept[f"{part} patient"] = np.array([str(example.group) for example in parts[part]])
    np.savez(file, **kept)


def row(found: dict[str, np.ndarray], head: str, ports: tuple[str, ...]) -> str:
    """What one head learns from one set of ports."""
    train, val = (np.concatenate([found[f"{part} {port}"] for port in ports], axis=1) for part in ("train", "val"))
    labels, truth = found["train label"], found["val label"]
    if head == "linear":
        return f"| {', '.join(ports)} | linear | {figures(truth, linear(train, labels, val, truth))} | |"
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(train, labels, found["train patient"])
    out = np.zeros(len(train))
    for learnt, held in folds:
        out[held] = logistic(train[learnt], labels[learnt], train[held])
    beside = figures(truth, logistic(train, labels, val))
    return f"| {', '.join(ports)} | logistic | {beside} | {figures(labels, out)} |"


def figures(labels: np.ndarray, shares: np.ndarray) -> str:
    """Log loss, AUROC, Brier score."""
    truth = labels == LABELS[1]
    return f"{log_loss(truth, shares):.3f}, {roc_auc_score(truth, shares):.4f}, {brier_score_loss(truth, shares):.4f}"


def logistic(train: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Probabilities of pneumonia."""
    head = Logistic({"pooled": train.shape[1]}, Target("class", LABELS), c=0.1)
    head.fit({"pooled": torch.from_numpy(train)}, list(labels))
    return np.array([(found.probabilities or {})[LABELS[1]] for found in head.predict({"pooled": torch.from_numpy(asked)})])


def linear(train: np.ndarray, labels: np.ndarray, val: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The same by the strategy `probe` on the vectors."""
    splits = ["train"] * len(train) + ["val"] * len(val)
    data = MemoryVectors.of([*train, *val], [*labels, *truth], LABELS, splits)
    recipe = Recipe(
        data=Part("memory-vectors"),
        backbone=Part("vectors", {"width": train.shape[1]}),
        head=Part("linear"),
        strategy=Part("probe"),
        name="ports",
        split=SplitPlan(by="given", test=0, val=0, near=False, leaks="keep"),
        baselines="none",
    )
    with tempfile.TemporaryDirectory() as folder:
        run = fit(recipe, Path(folder), data=data, report=False, quiet=True)
        return np.array([(found.probabilities or {})[LABELS[1]] for found in run.predict(list(val))])


if __name__ == "__main__":
    main()
