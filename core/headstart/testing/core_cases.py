"""Cases of the core's own parts."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from headstart.testing.cases import BackboneCase, Case, DataCase, HeadCase, StrategyCase

ROWS = [("warm and funny", "good"), ("dull and cold", "bad"), ("a moving story", "good"), ("clumsy and grey", "bad")]
FEW = {"epochs": 1}
TOKENS = {"pooled": 8, "tokens": 8, "mask": 1}
IN_MEMORY = "Examples in memory are handed over in Python, by `of`; a recipe alone has none."


def cases() -> list[Case]:
    """The backbone, heads, strategies and data of the core; the strategies with one epoch."""
    return [
        BackboneCase(use="vectors", options={"width": 8}),
        *(
            HeadCase(use=name)
            for name in ("linear", "mlp", "ordinal", "contrast", "multilabel", "regression", "logistic", "svm", "prototype")
        ),
        HeadCase(use="knn", options={"neighbours": 2}),
        HeadCase(use="kmeans", options={"clusters": 2}),
        HeadCase(use="aux", options={"on": ["aux1"]}, ports={"pooled": 8, "aux1": 8}),
        HeadCase(use="joined", options={"reads": ["pooled", "map.4"]}, ports={"pooled": 8, "map.4": 8}),
        HeadCase(use="joined", options={"reads": ["pooled", "tokens"], "main": "logistic"}, ports=TOKENS),
        *(StrategyCase(use=name, options=FEW) for name in SIMPLE),
        StrategyCase(use="gradual", options={"head_epochs": 1, "epochs": 1}),
        StrategyCase(use="probe-then-full", options={"head_epochs": 1, "epochs": 1}),
        StrategyCase(use="setfit", options={"epochs": 1, "head_epochs": 1}),
        StrategyCase(
            use="schedule", options={"phases": [{"name": "all", "epochs": 1, "train": [{"select": ["head"], "lr": 0.01}]}]}
        ),
        DataCase(use="table", options=table, source=lambda _folder: "a new film"),
        DataCase(use="hub", options=hub, source=lambda _folder: "a new film"),
        DataCase(use="memory-texts", exempt=IN_MEMORY),
        DataCase(use="memory-vectors", exempt=IN_MEMORY),
    ]


SIMPLE = ("probe", "full", "last-stages", "bitfit", "norm-only", "l2-sp", "layer-decay", "scratch", "lora")


def hub(folder: Path) -> dict[str, Any]:
    """A data set in the layout of the hub, in a folder."""
    (folder / "reviews").mkdir(exist_ok=True)
    Path(table(folder)["path"]).rename(folder / "reviews/train.csv")
    return {"dataset": str(folder / "reviews"), "text": "text", "label": "label"}


def table(folder: Path) -> dict[str, Any]:
    """A csv of a few reviews."""
    path = folder / "reviews.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [("text", "label"), *((f"{text} no {at}", label) for at in range(3) for text, label in ROWS)]
        )
    return {"path": str(path), "text": "text", "label": "label"}
