"""The section of the report about words: drawn from what `headstart explain` has written beside the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.files import read_json
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart_nlp.attribution.written import FILE, FOLDER, LARGEST_GAP

FOR, AGAINST = "44,138,86", "200,80,60"  # red, green, blue of a word that speaks for the answer, and against it
DARKEST = 0.65  # opacity behind the heaviest word of all cases


def figures(evidence: Evidence) -> Sequence[Figure]:
    """One figure with the cases; none where no words were weighed."""
    path = evidence.files.folder / FOLDER / FILE
    if not path.is_file():
        return []
    found: Mapping[str, Any] = read_json(path)
    cases: Sequence[Mapping[str, Any]] = found["cases"]
    heaviest = max((abs(word["weight"]) for case in cases for word in case["words"]), default=1.0) or 1.0
    shown = [_shown(case, heaviest) for case in cases]
    rough = [case for case in cases if case["gap"] > LARGEST_GAP]
    note = f" In {len(rough)} of {len(cases)} texts the words do not add up to that within {LARGEST_GAP:.0%}." if rough else ""
    sentence = (
        f"Green words speak for the answer, red ones against it: integrated gradients in {found['unit']}, from the text with "
        f"its words taken out to the text; the heaviest word has {heaviest:.2f}.{note}"
    )
    rows = [{"case": case["id"], "explained": case["label"], **word} for case in cases for word in case["words"]]
    content = {"rows": shown}
    return [Figure("words", "Words that the answers hang on", sentence, rows, html="mistakes", content=content, wide=True)]


def _shown(case: Mapping[str, Any], heaviest: float) -> dict[str, Any]:
    share = "" if case["probability"] is None else f" {case['probability']:.2f}"
    return {
        "id": case["id"],
        "excerpt": _coloured(case["text"], case["words"], heaviest),
        "truth": "" if case["truth"] is None else str(case["truth"]),
        "prediction": f"{case['answer']}{share} · {case['why']}",
    }


def _coloured(text: str, words: Sequence[Mapping[str, Any]], heaviest: float) -> Any:
    """The text as safe HTML, each word behind it coloured by its weight, with the weight as its title."""
    from markupsafe import Markup, escape

    pieces, at = [], 0
    for word in words:
        colour, depth = FOR if word["weight"] >= 0 else AGAINST, DARKEST * abs(word["weight"]) / heaviest
        piece = Markup('<span style="background:rgba({},{:.2f})" title="{:+.3f}">{}</span>')
        pieces += [
            escape(text[at : word["start"]]),
            piece.format(colour, depth, word["weight"], text[word["start"] : word["end"]]),
        ]
        at = word["end"]
    return Markup("").join([*pieces, escape(text[at:])])
