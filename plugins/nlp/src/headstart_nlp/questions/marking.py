"""Marking: an answer in its text, for the terminal and for the report."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from headstart_nlp.questions.plain import sentences

AROUND = 240  # characters of the text on each side of what is marked, in the report
OPEN, CLOSE = "«", "»"


def in_sentence(text: str, start: int, end: int, *, opening: str = OPEN, closing: str = CLOSE) -> str:
    """The sentence that holds a span (several, where it reaches over their end), on one line, with the span marked."""
    touched = [bounds for bounds in sentences(text) if bounds[0] < end and start < bounds[1]] or [(start, end)]
    first, last = touched[0][0], touched[-1][1]
    marked = f"{text[first:start]}{opening}{text[start:end]}{closing}{text[end:last]}"
    return " ".join(marked.split())


def as_html(question: str, context: str, gold: Sequence[Sequence[int]], said: Sequence[int] | None) -> Any:
    """The question and its text as safe HTML: right answers underlined, the given one marked; far ends are cut away."""
    from markupsafe import Markup, escape

    spans = [*gold, *([said] if said else [])]
    first = max(0, min((start for start, _ in spans), default=0) - AROUND)
    last = min(len(context), max((end for _, end in spans), default=2 * AROUND) + AROUND)
    cuts = sorted({first, last, *(place for span in spans for place in span)})
    pieces = [Markup("<b>{}</b><br>").format(question), "… " if first else ""]
    for start, end in pairwise(cuts):
        piece = escape(context[start:end])
        if any(a <= start and end <= b for a, b in gold):
            piece = Markup("<u>{}</u>").format(piece)
        if said and said[0] <= start and end <= said[1]:
            piece = Markup("<mark>{}</mark>").format(piece)
        pieces.append(piece)
    return Markup("").join([*pieces, " …" if last < len(context) else ""])
