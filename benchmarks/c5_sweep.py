"""C5: a sweep of 32 heads, each in five folds, on features that were computed once; then a tenth of new examples.

    python benchmarks/c5_sweep.py [--heads 32]

Ours runs every head as a recipe of its own, with folds, scores and intervals, and reads the features from the disk store.
The rival is written by hand: features once, then scikit-learn's cross-validation over the same heads. Both use the training
photographs of hymenoptera. At the end a tenth more photographs are added, and the run says how many it computed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from contest import DATA, HERE, Contestant, hold

STRENGTHS = [10.0 ** (power / 2 - 4) for power in range(16)]
RECIPE = """name: c5
data: {{use: vision/folder, path: {data}}}
backbone: vision/efficientnet-lite0
head: logistic
strategy: probe
split: {{folds: 5, test: 0.2, val: 0}}
train: {{store: disk, precision: float32}}
baselines: none
"""


def heads(count: int) -> list[dict[str, object]]:
    """Logistic regressions and linear support vector machines over a range of strengths."""
    return [{"use": use, "c": c} for use in ("logistic", "svm") for c in STRENGTHS][:count]


def ours(folder: Path, count: int) -> None:
    """Every head as a run, then one run with a tenth of new examples."""
    import timm  # noqa: F401
    import torch

    import headstart.fit
    import headstart_vision.folder  # noqa: F401
    from headstart import Recipe

    torch.set_num_threads(1)
    started, scores, computed = time.process_time(), [], []
    for head in heads(count):
        changes = [f"head={json.dumps(head)}"]
        run = headstart.fit.fit(Recipe.load(folder / "recipe.yaml", changes), folder / "runs", report=False)
        scores.append(run.metrics["test"]["accuracy"]["value"])
        computed.append(_computed(run.folder))
    own = time.process_time() - started
    print(f"features computed by the runs: {computed}")
    for number, path in enumerate(sorted((DATA / "hymenoptera/val").rglob("*.jpg"))[::6][:24]):
        (folder / "pictures" / path.parent.name / f"new{number}.jpg").symlink_to(path)
    again = headstart.fit.fit(Recipe.load(folder / "recipe.yaml", []), folder / "runs", report=False)
    counts = {"first": computed[0], "others": sum(computed[1:]), "new": _computed(again.folder)}
    print(json.dumps({"score": max(scores), "own": own, **counts}))


def _computed(run: Path) -> int:
    events = map(json.loads, (run / "events.jsonl").read_text(encoding="utf-8").splitlines())
    return sum(event["computed"] for event in events if event["event"] == "stored")


def by_hand(folder: Path, count: int) -> None:
    """Features once, then cross-validation of pipelines."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC
    from torchvision import datasets

    from headstart.plugins import registry

    torch.set_num_threads(1)
    backbone = registry().find("backbone", "vision/efficientnet-lite0").load()().eval()
    started = time.process_time()
    found = datasets.ImageFolder(str(folder / "pictures"))
    rows = []
    with torch.no_grad():
        for at in range(0, len(found), 16):
            pictures = [found[index][0] for index in range(at, min(at + 16, len(found)))]
            rows.append(backbone(backbone.prepare(pictures))["pooled"])
    features, labels = torch.cat(rows).numpy(), found.targets
    kinds = {"logistic": lambda c: LogisticRegression(C=c, max_iter=1000), "svm": lambda c: LinearSVC(C=c)}
    scores = []
    for head in heads(count):
        model = make_pipeline(StandardScaler(), kinds[str(head["use"])](head["c"]))
        scores.append(cross_val_score(model, features, labels, cv=StratifiedKFold(5, shuffle=True, random_state=0)).mean())
    print(json.dumps({"score": float(max(scores)), "own": time.process_time() - started}))


def main() -> None:
    """Hold the contest, or be one of its contestants."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--as", dest="role", choices=("ours", "by-hand"))
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.role:
        (ours if given.role == "ours" else by_hand)(given.folder, given.heads)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in (DATA / "hymenoptera/train").rglob("*.jpg"):
            (folder / "pictures" / path.parent.name).mkdir(parents=True, exist_ok=True)
            (folder / "pictures" / path.parent.name / path.name).symlink_to(path)
        (folder / "recipe.yaml").write_text(RECIPE.format(data=folder / "pictures"), encoding="utf-8")
        os.environ["HEADSTART_CACHE"] = str(folder / "cache")
        command = [sys.executable, str(HERE / "c5_sweep.py"), "--folder", name, "--heads", str(given.heads), "--as"]
        hold([Contestant("headstart", [*command, "ours"]), Contestant("by hand", [*command, "by-hand"])], 1)


if __name__ == "__main__":
    main()
