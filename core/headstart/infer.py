"""Inference: a finished run on new examples, by the same path as its own evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.build import make_data
from headstart.device import choose
from headstart.errors import DataError
from headstart.evaluating import Evaluating, saved_evaluating
from headstart.events import Events, isolated
from headstart.example import Example
from headstart.feed import LiveFeed
from headstart.freezing import train_only
from headstart.head import Prediction
from headstart.intervals import score_intervals
from headstart.looking import predictions_with
from headstart.loop import predict
from headstart.outcome import Outcome
from headstart.plugins import registry
from headstart.spread import Asking, with_spread

if TYPE_CHECKING:
    from headstart.run import Run

ABSTAIN = "abstain"
"""Key of a prediction's details: why the model should not be asked, one sentence each."""


def infer(run: Run, examples: Sequence[Example]) -> list[Prediction]:
    """Predictions for examples that are read already, in their order, as the run's evaluations decide."""
    evaluations = evaluations_of(run)
    found = evaluations.decide(head_predictions(run, examples, evaluations))
    tell_answers(run.folder, examples, found)
    return found


def tell_answers(folder: Path, examples: Sequence[Example], predictions: Sequence[Prediction], **facts: Any) -> None:
    """Tell the trackers of plugins what the finished run of this folder has answered; nothing is written here."""
    answers = [
        {"id": example.id, "answer": said.value, "probabilities": said.probabilities, "abstain": said.details.get(ABSTAIN)}
        for example, said in zip(examples, predictions, strict=True)
    ]
    Events(map(isolated, registry().trackers()))("predicted", folder=str(folder), answers=answers, **facts)


def evaluations_of(run: Run) -> Evaluating:
    """What the run's evaluations settled, and what is familiar to its model."""
    return saved_evaluating(run.recipe, run.model.head.target, run.folder / "model")


def head_predictions(run: Run, examples: Sequence[Example], evaluations: Evaluating) -> list[Prediction]:
    """What the head alone says, with what the evaluations asked for."""
    if not examples:
        return []
    compute = choose(run.recipe.train)
    model = run.model.to(compute.device)
    train_only(model, ())
    data, exact = make_data(run.recipe.data), run.recipe.train.exact
    feed = LiveFeed(model, data, examples, compute, exact=exact)
    if not evaluations.looks:
        return predict(model, feed)
    found = predictions_with(model, feed, evaluations.familiar, evaluations.traits)
    return with_spread(found, examples, evaluations.views, Asking(model, data, compute, exact))


@dataclass(frozen=True)
class Evaluated:
    """What a finished run does on other labelled examples.

    Attributes:
        outcome: Predictions as they are given out.
        scores: Name -> value with its interval.
        evaluations: Name -> figures, by what was settled in the run.
    """

    outcome: Outcome
    scores: dict[str, dict[str, Any]]
    evaluations: dict[str, Any]

    @property
    def n(self) -> int:
        """Labelled examples."""
        return len(self.outcome.examples)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"n": self.n, "test": self.scores, **({"evaluations": self.evaluations} if self.evaluations else {})}


def evaluated(run: Run, source: Path) -> Evaluated:
    """A run on the labelled examples of a file or folder; nothing is fitted.

    Raises:
        DataError: No example there has a label, or a label that the run does not know.
    """
    examples = [example for example in make_data(run.recipe.data).open(source) if example.target is not None]
    if not examples:
        raise DataError(f"{source}: no example has a label; headstart predict gives predictions without labels")
    _check_labels(run, examples, source)
    evaluations = evaluations_of(run)
    raw = Outcome("run", "test", examples, head_predictions(run, examples, evaluations))
    outcome = replace(raw, predictions=evaluations.decide(raw.predictions))
    scores = {name: asdict(interval) for name, interval in score_intervals(run.model.head.score, outcome).items()}
    return Evaluated(outcome, scores, evaluations.measure(raw))


def evaluate(run: Run, source: Path) -> dict[str, Any]:
    """Scores with intervals on a labelled file or folder as plain values; see `evaluated`."""
    return evaluated(run, source).as_json()


def _check_labels(run: Run, examples: Sequence[Example], source: Path) -> None:
    target = run.model.head.target
    if target.kind not in ("class", "labels"):
        return
    given = (example.target if target.kind == "labels" else (example.target,) for example in examples)
    unknown = sorted({str(label) for labels in given for label in labels} - set(target.labels))
    if unknown:
        raise DataError(
            f"{source}: labels {unknown[:5]} are unknown to this run; rename them in the file to {list(target.labels)}"
        )
