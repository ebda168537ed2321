"""The evaluation `nlp/squad`: official figures, the threshold for no answer, kinds of error, and plain ways to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from headstart.errors import DataError
from headstart.evaluation import Evaluation
from headstart.example import Example, Target
from headstart.head import Prediction
from headstart.intervals import paired_difference, score_intervals
from headstart.outcome import Outcome
from headstart_nlp.questions.errors import KINDS, kind_of, longer_than, question_word
from headstart_nlp.questions.plain import NONE, PLAIN
from headstart_nlp.questions.scores import answer_scores, each_question
from headstart_nlp.questions.threshold import choose_threshold

SHOWN = 5  # questions of each kind of error that the report shows
RESAMPLES = 1000


class Squad(Evaluation):
    """Exact match and F1 as the official evaluation of SQuAD counts them: as 2.0 where questions without an answer are
    among those measured or were among those learnt from, else as 1.1.

    Args:
        seed: Of the bootstrap.
    """

    kinds = ("span",)

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed

    def settle(self, outcome: Outcome, target: Target) -> dict[str, Any]:
        """The threshold for no answer, from the validation part.

        Raises:
            DataError: The outcome is not of the validation part.
        """
        if outcome.split != "val":
            raise DataError(f"the threshold comes from validation only; this is the split '{outcome.split}'")
        return {"threshold": asdict(choose_threshold(outcome.predictions, outcome.targets))}

    def measure(self, outcome: Outcome, target: Target, settled: Mapping[str, Any]) -> dict[str, Any]:
        """Official figures with intervals, by question word and length of the text, kinds of error, plain baselines."""
        decided = replace(outcome, predictions=self.decide(outcome.predictions, target, settled))
        has_none = _has_none(decided)
        table = each_question(decided.predictions, decided.targets, has_none=has_none)
        kinds = [
            kind_of(example, prediction, is_exact=bool(exact))
            for example, prediction, exact in zip(decided.examples, decided.predictions, table[:, 0], strict=True)
        ]
        score = partial(answer_scores, has_none=has_none)
        return {
            "rules": "SQuAD 2.0" if has_none else "SQuAD 1.1",
            "n": len(decided.examples),
            "no_answer": sum(1 for gold in decided.targets if not gold),
            "threshold": dict(settled["threshold"]) if _odds(decided) else None,
            "scores": {name: asdict(found) for name, found in score_intervals(score, decided, seed=self._seed).items()},
            "kinds": {kind: kinds.count(kind) for kind in KINDS if kind in kinds},
            "by_question_word": _by([question_word(e.input[0]) for e in decided.examples], table),
            "by_words_of_text": _by([longer_than(e.input[1]) for e in decided.examples], table),
            "plain": self._plain(decided, score, has_none=has_none),
            "examples": _shown(decided, kinds, table) if outcome.split == "test" else [],
        }

    def decide(self, predictions: Sequence[Prediction], target: Target, settled: Mapping[str, Any]) -> list[Prediction]:
        """The best span, or "" where the log-odds of no answer are above the threshold."""
        limit = float(settled["threshold"]["value"])
        return [_decided(prediction, limit) for prediction in predictions]

    def _plain(self, ours: Outcome, score: Any, *, has_none: bool) -> dict[str, Any]:
        """Each plain way to answer: its figures, and ours minus its, paired."""
        found = {}
        for name, answer in PLAIN.items():
            if name == NONE and not has_none:
                continue
            theirs = replace(ours, model=name, predictions=[Prediction(answer(example)) for example in ours.examples])
            gaps = paired_difference(score, ours, theirs, seed=self._seed, resamples=RESAMPLES)
            found[name] = {
                "scores": score(theirs.predictions, theirs.targets, None),
                "run_minus_it": {which: asdict(gap) for which, gap in gaps.items()},
            }
        return found


def _has_none(outcome: Outcome) -> bool:
    return any(not gold for gold in outcome.targets) or _odds(outcome)


def _odds(outcome: Outcome) -> bool:
    """Whether the head can say that there is no answer."""
    return any(prediction.details.get("no_answer") is not None for prediction in outcome.predictions)


def _decided(prediction: Prediction, limit: float) -> Prediction:
    odds = prediction.details.get("no_answer")
    if odds is None:
        return prediction
    return replace(prediction, value="" if odds > limit else prediction.details["answer"])


def _by(names: Sequence[str], table: np.ndarray) -> list[dict[str, Any]]:
    """Number of questions and mean figures of each name, the commonest first."""
    rows = []
    for name in dict.fromkeys(names):
        chosen = table[[at for at, other in enumerate(names) if other == name]]
        exact, f1 = chosen.mean(axis=0)
        rows.append({"name": name, "n": len(chosen), "f1": float(f1), "exact_match": float(exact)})
    return sorted(rows, key=lambda row: -row["n"])


def _shown(outcome: Outcome, kinds: Sequence[str], table: np.ndarray) -> list[dict[str, Any]]:
    """Some questions of each kind with all that a person needs to judge them."""
    rows = []
    for kind in KINDS:
        places = [at for at, other in enumerate(kinds) if other == kind][:SHOWN]
        rows += [_row(outcome.examples[at], outcome.predictions[at], kind, float(table[at, 1])) for at in places]
    return rows


def _row(example: Example, prediction: Prediction, kind: str, f1: float) -> dict[str, Any]:
    question, context = example.input
    said = [prediction.details["start"], prediction.details["end"]] if prediction.value else None
    return {
        "id": example.id,
        "kind": kind,
        "f1": f1,
        "question": question,
        "context": context,
        "gold": [[answer.start, answer.end] for answer in example.target],
        "answer": prediction.value,
        "predicted": said,
    }
