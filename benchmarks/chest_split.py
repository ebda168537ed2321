"""Chest X-rays divided at random against divided by patient: what a random division hides.

    python benchmarks/chest_split.py [--times 5] [--rows 5216]

The given training pictures of ../shared/data/chest-xray, several of some children, are divided anew each time, a fifth for the
test, once at random and once so that no child stands in both parts; a logistic regression (penalty 0.01) learns from
features of the frozen EfficientNet-Lite0, which are computed once. Prints what stands in two parts, then a table.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from contest import DATA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headstart.audit import audit
from headstart.example import Example
from headstart.recipe import SplitPlan
from headstart.split import make_splits
from headstart_healthcare.data.images import Images

FOLDS, STRENGTH, BATCH = 5, 0.01, 32
WAYS = {"at random": StratifiedKFold, "by patient": StratifiedGroupKFold}


def main() -> None:
    """Name what stands in two parts, compute the features, divide and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--rows", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = Images(path=str(DATA / "chest-xray"), group=r"(person\d+|IM-\d+)", positive="PNEUMONIA", rows=given.rows)
    examples = list(data.examples())
    print(leaks(data, examples))
    training = [example for example in examples if example.meta.get("split") == "train"]
    vectors = features(training)
    truth = np.array([example.target == "PNEUMONIA" for example in training])
    patients = np.array([example.group for example in training])
    print(f"{len(training):,} pictures of {len(set(patients)):,} patients, {given.times} divisions of each kind")
    print("| division | patients in both parts | AUROC, mean and deviation | share of wrong answers |\n|---|---:|---|---:|")
    for name, way in WAYS.items():
        print(row(name, [divided(way(FOLDS, shuffle=True, random_state=seed), vectors, truth, patients)
                         for seed in range(given.times)]))  # fmt: skip


def leaks(data: Images, examples: Sequence[Example]) -> str:
    """What `check` finds across the given parts."""
    split = make_splits(examples, SplitPlan(val=0, leaks="keep"), data.target)[0]
    kinds = [leak.kind for leak in audit(examples, split).found]
    return "; ".join(f"{kinds.count(kind):,} of the kind {kind} in two given parts" for kind in sorted(set(kinds)))


def features(examples: Sequence[Example]) -> np.ndarray:
    """Pooled features [N, C] of the frozen network."""
    from headstart_vision.backbones.lite import EfficientNetLite0

    backbone = EfficientNetLite0()
    backbone.network.eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(examples), BATCH):
            batch = backbone.prepare([example.input for example in examples[start : start + BATCH]])
            found.append(backbone(batch)["pooled"].numpy())
    return np.concatenate(found)


def divided(
    folds: StratifiedKFold | StratifiedGroupKFold, vectors: np.ndarray, truth: np.ndarray, patients: np.ndarray
) -> tuple[int, float, float]:
    """One division: patients in both parts, AUROC and share of wrong answers on its test part."""
    learnt, tested = next(iter(folds.split(vectors, truth, patients)))
    machine = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=2000)).fit(vectors[learnt], truth[learnt])
    score = machine.predict_proba(vectors[tested])[:, 1]
    both = set(patients[learnt]) & set(patients[tested])
    return len(both), float(roc_auc_score(truth[tested], score)), float(((score >= 0.5) != truth[tested]).mean())


def row(name: str, found: Sequence[tuple[int, float, float]]) -> str:
    """A line of the table."""
    shared, areas, wrong = (np.array(column) for column in zip(*found, strict=True))
    return f"| {name} | {shared.mean():.0f} | {areas.mean():.4f} ± {areas.std(ddof=1):.4f} | {100 * wrong.mean():.1f} % |"


if __name__ == "__main__":
    main()
