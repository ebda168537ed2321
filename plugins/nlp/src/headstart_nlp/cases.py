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
CONTEXTS = ("Ada wrote it", "it was Grace", "nobody knows now", "Ada and Grace")
SPAN_PORTS = {"tokens": 8, "mask": 1, "offsets": 2, "segment": 1, "windows": 1, "characters": 1}


def cases() -> list[Case]:
    """The default weights on short texts, and every reader on files made here."""
    return [
        BackboneCase(use="nlp/encoder", options={"max_tokens": 32}, slow=SLOW),
        BackboneCase(use="nlp/pair-encoder", options={"max_tokens": 32}, slow=SLOW),
        BackboneCase(use="nlp/word-encoder", slow=SLOW),
        BackboneCase(use="nlp/masked-encoder", options={"max_tokens": 32}, slow=SLOW),
        HeadCase(
            use="nlp/masked",
            target=Target("masked"),
            targets=[""] * 4,  # the truth is what the backbone hid
            backbone=BackboneCase(use="nlp/masked-encoder", options={"max_tokens": 32}),
            slow=SLOW,
        ),
        DataCase(use="nlp/unlabelled", options=lines, source=lambda _folder: "one more line"),
        HeadCase(
            use="nlp/tags",
            target=Target("tags", TAGS),
            targets=[("B-PER",), ("O", "B-PER"), ("B-PER", "I-PER", "O"), ("O", "O", "O", "B-PER")],
            features=words,
            ports={"tokens": 8, "mask": 1},
        ),
        HeadCase(use="nlp/span", target=Target("span"), targets=answers(), features=windows, ports=SPAN_PORTS),
        HeadCase(
            use="nlp/named",
            target=Target("class", ("sport", "weather")),
            targets=["sport", "weather"] * 4,
            backbone=BackboneCase(use="nlp/encoder", options={"max_tokens": 32}),
            slow=SLOW,
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


def answers() -> list[Any]:
    """Where the name stands in each context; in the third it does not."""
    from headstart_nlp.questions.answers import Answer, Gold

    named = ((text, name) for text, name in zip(CONTEXTS, ("Ada", "Grace", "", "Ada"), strict=True))
    return [Gold([Answer(name, text.index(name))] if name else ()) for text, name in named]


def windows() -> Mapping[str, Tensor]:
    """An opening token, one of the question and one for each word of the context, as `nlp/pair-encoder` lays them out."""
    import re

    import torch

    from headstart_nlp.pair_tokens import FIRST, OPENING, SECOND

    places = [[(0, 0), (0, 3), *(word.span() for word in re.finditer(r"\S+", text))] for text in CONTEXTS]
    letters = [torch.tensor([ord(letter) for letter in text]) for text in CONTEXTS]
    count, length = len(places), len(places[0])  # each context has three words
    return {
        "tokens": torch.randn(count, length, 8, generator=torch.Generator().manual_seed(0)),
        "mask": torch.ones(count, length, dtype=torch.long),
        "offsets": torch.tensor(places),
        "segment": torch.tensor([[OPENING, FIRST, *[SECOND] * (length - 2)]] * count),
        "windows": torch.zeros(count, length, dtype=torch.long),
        "characters": torch.nn.utils.rnn.pad_sequence(letters, batch_first=True),
    }


def conll(folder: Path) -> dict[str, Any]:
    """Three sentences."""
    text = "Ada B-PER\nwrote O\n\nIt O\nruns O\n\nGrace B-PER\nHopper I-PER\nspoke O\n"
    return {"path": _written(folder / "tags.txt", text)}


def lines(folder: Path) -> dict[str, Any]:
    """A line for each text."""
    return {"path": _written(folder / "lines.txt", "".join(f"line number {at} of eight\n" for at in range(8)))}


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
