"""Collapse: a model that gives one answer whatever it sees has learnt nothing but the frequent label."""

from __future__ import annotations

from headstart.outcome import Outcome

FEWEST = 8  # examples; fewer may well be alike


def collapsed(outcome: Outcome) -> str | None:
    """What to say where every example of a split gets the same label though the truth has several; None = all is well."""
    pairs = zip(outcome.examples, outcome.predictions, strict=True)
    known = [(example.target, prediction.value) for example, prediction in pairs if isinstance(example.target, str)]
    said, truth = {value for _, value in known}, {target for target, _ in known}
    if len(known) < FEWEST or len(said) > 1 or len(truth) < 2:
        return None
    right = sum(target == value for target, value in known)
    return (
        f"every one of the {len(known)} {outcome.split} examples is called '{said.pop()}', though the truth has {len(truth)} "
        f"labels ({right} are right): the model has collapsed to one label; try a smaller lr, class weights, or more epochs"
    )
