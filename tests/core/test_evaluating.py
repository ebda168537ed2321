"""Evaluations: settled on validation, measured on the test, decided at predict, never left out where data prescribe them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from headstart.data import Data
from headstart.errors import RecipeError, UsageError
from headstart.evaluating import Evaluating, evaluating
from headstart.example import Example, Target
from headstart.fit import fit
from headstart.head import Prediction
from headstart.outcome import Outcome
from headstart.recipe import Part, Recipe
from headstart.run import Run, load

TARGET = Target("class", ("no", "yes"))


@pytest.fixture
def evaluations(tiny: ModuleType) -> Evaluating:
    return Evaluating({"last-label": tiny.LastLabel()}, TARGET)


def _outcome(split: str, n: int, fold: int = -1) -> Outcome:
    examples = [Example(f"{split}{i}", i, "no") for i in range(n)]
    return Outcome("run", split, examples, [Prediction("no")] * n, fold)


def test_what_is_settled_on_validation_measures_and_decides_the_test(evaluations: Evaluating) -> None:
    decided = evaluations.decided([_outcome("val", 3), _outcome("test", 5)])
    assert evaluations.settled == {"last-label": {"n": 3}}
    assert evaluations.measured["last-label"]["test"] == {"mark": "plain", "n": 5, "settled_on": 3, "said": ["no"]}
    assert {p.value for outcome in decided for p in outcome.predictions} == {"yes"}


def test_the_validation_part_of_a_fold_settles_but_is_not_judged(evaluations: Evaluating) -> None:
    decided = evaluations.decided([_outcome("val", 3, fold=1), _outcome("test", 5, fold=1)])
    assert [outcome.split for outcome in decided] == ["test"]
    assert list(evaluations.measured["last-label"]) == ["fold 2"]


def test_without_validation_nothing_of_the_test_is_settled_on(evaluations: Evaluating) -> None:
    evaluations.decided([_outcome("test", 5)])
    assert evaluations.settled == {"last-label": {"n": 0}}


def test_a_run_gives_out_decided_predictions_everywhere(run_tiny: Callable[..., Run]) -> None:
    run = run_tiny(evaluation={"use": "tiny/last-label", "mark": "mine"})
    measured = run.metrics["evaluations"]["tiny/last-label"]
    assert measured["test"]["mark"] == "mine"
    assert measured["test"]["settled_on"] == run.metrics["n"]["val"]
    assert run.metrics["test"]["accuracy"]["value"] == 0.5  # as many good as bad, all called good
    assert {prediction.value for prediction in load(run.folder).predict(["dull cold grey", "warm funny"])} == {"good"}


def test_folds_are_measured_each_on_its_own(run_tiny: Callable[..., Run]) -> None:
    run = run_tiny(evaluation="tiny/last-label", split={"folds": 2, "val": 0.25})
    assert list(run.metrics["evaluations"]["tiny/last-label"])[:2] == ["fold 1", "fold 2"]
    assert run.metrics["n"]["test"] == 64


def test_further_data_is_measured_by_what_was_settled_in_the_run(
    run_tiny: Callable[..., Run], write_csv: Callable[..., Path], tmp_path: Path
) -> None:
    run = run_tiny(evaluation="tiny/last-label")
    found = load(run.folder).evaluate(write_csv(tmp_path / "new.csv", 12, seed=5))
    measured = found["evaluations"]["tiny/last-label"]
    said = measured.pop("said")
    assert said
    assert measured == {"mark": "plain", "n": 12, "settled_on": run.metrics["n"]["val"]}


def test_what_the_data_prescribe_cannot_be_left_out(
    tiny: ModuleType, make_recipe: Callable[..., Recipe], make_sentences: type[Data], tmp_path: Path
) -> None:
    class Prescribing(make_sentences):  # type: ignore[valid-type,misc]
        evaluation = "tiny/last-label"

    run = fit(make_recipe(tmp_path), tmp_path / "runs", data=Prescribing(), report=False, quiet=True)
    assert list(run.metrics["evaluations"]) == ["tiny/last-label"]


def test_what_was_settled_is_part_of_the_hashed_model(run_tiny: Callable[..., Run]) -> None:
    run = run_tiny(evaluation="tiny/last-label")
    file = run.folder / "model" / "evaluations.json"
    file.write_text(file.read_text().replace("16", "17"))
    with pytest.raises(Exception, match=r"evaluations\.json"):
        load(run.folder).predict(["warm"])


def test_a_misspelt_option_of_an_evaluation_is_a_fault_of_the_recipe(
    tiny: ModuleType, make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="did you mean 'mark'"):
        make_recipe(tmp_path, evaluation={"use": "tiny/last-label", "marc": "x"})


def test_a_kind_of_target_that_the_evaluation_does_not_know_is_refused(tiny: ModuleType, make_sentences: type[Data]) -> None:
    recipe = Recipe(Part("table"), Part("tiny/words"), evaluation=Part("tiny/last-label"))
    with pytest.raises(UsageError, match="knows targets of kind class, not 'number'"):
        evaluating(recipe, make_sentences, Target("number"))
