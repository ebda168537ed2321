"""Cases: what the conformance kit runs the plugin's parts with, `headstart plugins test nlp`. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.example import Target
from headstart.testing import BackboneCase, Case, DataCase, HeadCase

if TYPE_CHECKING:
    from torch import Tensor

SLOW = "a real encoder of 22.7 million parameters"
TAGS = ("O", "B-PER", "I-PER")


def cases() -> list[Case]:
    """The default weights on short texts, and every reader on files made here."""
    return [
        BackboneCase(use="nlp/encoder", options={"max_tokens": 32}, slow=SLOW),
        BackboneCase(use="nlp/pair-encoder", options={"max_tokens": 32}, slow=SLOW),
        BackboneCase(use="nlp/word-encoder", slow=SLOW),
        HeadCase(
            use="nlp/tags",
            target=Target("tags", TAGS),
            targets=[("B-PER",), ("O", "B-PER"), ("B-PER", "I-PER", "O"), ("O", "O", "O", "B-PER")],
            features=words,
            ports={"tokens": 8, "mask": 1},
        ),
        HeadCase(
            use="nlp/named",
            known={
                "can_be_built": "It reads the labels' names with a text encoder, which the kit's stand-in for a network is not."
            },
        ),
        DataCase(use="nlp/conll", options=conll, source=lambda _folder: "Ada wrote it"),
        DataCase(use="nlp/pairs", options=pairs, source=lambda _folder: ("one", "two")),
        DataCase(use="nlp/squad", options=squad, source=lambda _folder: ("Who wrote it?", "Ada wrote it.")),
    ]


def words() -> Mapping[str, Tensor]:
    """Vectors of one to four words."""
    import torch

    mask = (torch.arange(4)[None] <= torch.arange(4)[:, None]).long()  # [B, L]
    return {"tokens": torch.randn(4, 4, 8, generator=torch.Generator().manual_seed(0)), "mask": mask}


def conll(folder: Path) -> dict[str, Any]:
    """Three sentences."""
    text = "Ada B-PER\nwrote O\n\nIt O\nruns O\n\nGrace B-PER\nHopper I-PER\nspoke O\n"
    return {"path": _written(folder / "tags.txt", text)}


def pairs(folder: Path) -> dict[str, Any]:
    """Pairs of texts in a csv."""
    rows = ["first,second,label", *(f"text {at},text {at // 2},{('other', 'same')[at % 2]}" for at in range(8))]
    return {
        "path": _written(folder / "pairs.csv", "\n".join(rows) + "\n"),
        "first": "first",
        "second": "second",
        "label": "label",
    }


def squad(folder: Path) -> dict[str, Any]:
    """Two questions in the form of SQuAD."""
    context = "Ada wrote the first program. Grace wrote the first compiler."
    asked = [("Who wrote the first program?", "Ada"), ("Who wrote the first compiler?", "Grace")]
    questions = [
        {"id": f"q{at}", "question": question, "answers": [{"text": text, "answer_start": context.index(text)}]}
        for at, (question, text) in enumerate(asked)
    ]
    article = {"title": "Programs", "paragraphs": [{"context": context, "qas": questions}]}
    return {"path": _written(folder / "questions.json", json.dumps({"version": "1.1", "data": [article]}))}


def _written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)
