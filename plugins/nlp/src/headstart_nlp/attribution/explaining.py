"""Explaining a run on texts: the words of a few test cases or of new texts, weighed, written beside the run and reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from headstart.build import make_data, part_class
from headstart.device import choose
from headstart.errors import DataError, UsageError
from headstart.example import Example
from headstart.explained_cases import Case, case_of, choose_cases
from headstart.explaining import Explained, Request
from headstart.files import write_json
from headstart.run import Run
from headstart.run_files import RunFiles
from headstart_nlp.attribution.words import STEPS, Weighed, as_json, weigh
from headstart_nlp.attribution.written import FILE, FOLDER, LARGEST_GAP

METHOD = "integrated-gradients"
NAMED = 6  # words of a text that the terminal shows


def explain(run: Run, request: Request) -> Explained | None:
    """What `headstart explain` asks: words of runs on single texts; None for others.

    Raises:
        UsageError: There is no such method, or the head cannot be explained. DataError: There is no test part.
        MissingError: captum is not installed.
    """
    if part_class("data", run.recipe.data.use).modality != "text" or not run.recipe.backbone.use.startswith("nlp/"):
        return None
    if request.method not in ("", METHOD):
        raise UsageError(f"there is no method '{request.method}' for texts; methods: {METHOD}")
    model = run.model.to(choose(run.recipe.train).device).eval()
    cases, texts = _new(run, request.inputs) if request.inputs else _tested(run, request.cases)
    found = []
    for case, text in zip(cases, texts, strict=True):
        weighed = weigh(model, text, case.label)
        # a network with sharp turns wants more steps; four times as many are where it stops
        found.append(weighed if weighed.gap <= LARGEST_GAP else weigh(model, text, case.label, steps=4 * STEPS))
    unit = "the predicted number" if model.head.target.kind == "number" else "log-odds"
    rows = [{**asdict(case), **as_json(one)} for case, one in zip(cases, found, strict=True)]
    folder = run.folder / FOLDER
    folder.mkdir(exist_ok=True)
    write_json(folder / FILE, {"method": METHOD, "unit": unit, "cases": rows})
    return Explained(tuple(_line(case, one) for case, one in zip(cases, found, strict=True)), folder / FILE)


def _tested(run: Run, count: int) -> tuple[list[Case], list[str]]:
    outcome = RunFiles(run.folder).outcome()
    if outcome is None or not outcome.examples:
        raise DataError(f"{run.folder} has no test part to choose cases from; give texts: headstart explain RUN 'a text'")
    texts = {example.id: example.input for example in make_data(run.recipe.data).examples()}
    chosen = choose_cases(outcome, run.model.head.target.kind, count)
    absent = [case.id for case in chosen if case.id not in texts]
    if absent or not chosen:
        raise DataError(f"the data no longer hold {absent[0] if absent else 'an example with a label'}; are they as they were?")
    return chosen, [str(texts[case.id]) for case in chosen]


def _new(run: Run, inputs: Sequence[Any]) -> tuple[list[Case], list[str]]:
    data = make_data(run.recipe.data)
    examples = [Example(str(at), data.read(source)) for at, source in enumerate(inputs)]
    kind = run.model.head.target.kind
    pairs = zip(examples, run.predict_examples(examples), strict=True)
    return [case_of(e.id, None, prediction, kind, "asked for") for e, prediction in pairs], [str(e.input) for e in examples]


def _line(case: Case, weighed: Weighed) -> str:
    """The case and the words that weigh most, in their order, with their signs."""
    heaviest = sorted(weighed.words, key=lambda word: -abs(word[2]))[:NAMED]
    words = ", ".join(f"{weighed.text[start:end]} {weight:+.2f}" for start, end, weight in sorted(heaviest))
    share = "" if case.probability is None else f" ({case.probability:.2f})"
    truth = "" if case.truth is None else f", truth {case.truth}"
    return f"{case.id}: {case.answer}{share}{truth}, {case.why}: {words or 'no words'}"
