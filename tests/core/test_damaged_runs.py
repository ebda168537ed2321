"""A run folder with any damage: what reads it says so in an error of its own, or gives what it gave before."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from headstart import faults
from headstart.compare import compare
from headstart.errors import DataError, HeadstartError
from headstart.fit import fit
from headstart.predictions import read_predictions
from headstart.recipe import Recipe
from headstart.resume import resume
from headstart.run import load
from headstart.run_files import drawn_from

sys.path.insert(0, str(Path(__file__).parent))
from damage import DAMAGES, Damage
from resuming import results

TEXTS = ("funny moving film", "dull cold story", "grey camera warm")
PLANS: dict[str, Any] = {
    "head": {"use": "mlp", "dropout": 0.1},
    "strategy": {"use": "gradual", "head_epochs": 2, "epochs": 1},
    "train": {"device": "cpu", "batch_size": 8, "checkpoint": 2},
}
REPORTED = ("report.html",)


def some(count: int) -> settings:
    """So many examples, the same each time."""
    unchecked = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=unchecked)


class Folders:
    """One finished run and one that was stopped, of which copies are damaged.

    Attributes:
        finished: Of the first.
        stopped: Of the second.
    """

    def __init__(self, place: Path, make_recipe: Callable[..., Recipe]) -> None:
        self.place = place
        self.finished = fit(make_recipe(place, **PLANS), place / "finished", report=False, quiet=True).folder
        faults.arm("step:9:raise")
        with pytest.raises(faults.Fault):
            fit(make_recipe(place, **PLANS, baselines="none"), place / "stopped", report=False, quiet=True)
        faults.arm("")
        [self.stopped] = (place / "stopped").iterdir()

    def damaged(self, folder: Path, damage: Damage, *, within: str = "") -> Path:
        """A copy of a folder, one of its files changed."""
        copy = self.place / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        damage.harm(copy / within, spared=REPORTED)
        return copy


@pytest.fixture(scope="module")
def folders(
    tiny_for_module: Any, make_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Folders]:
    yield Folders(tmp_path_factory.mktemp("damaged"), make_recipe)
    faults.arm("")


def answers(folder: Path) -> list[Any]:
    """What a run says, rounded: batches of another size change the last digits."""
    said = load(folder).predict(TEXTS)
    return [(one.value, {label: round(share, 4) for label, share in (one.probabilities or {}).items()}) for one in said]


def gives(act: Callable[[], Any]) -> Any:
    """What `act` gives; None where it ends in an error that headstart raised on purpose. Any other error is a failure."""
    try:
        return act()
    except HeadstartError as error:
        assert str(error)
        return None


def same_answers_or_an_error(folders: Folders, damage: Damage) -> None:
    copy = folders.damaged(folders.finished, damage)
    assert gives(lambda: answers(copy)) in (None, answers(folders.finished))


def a_report_or_an_error(folders: Folders, damage: Damage) -> None:
    copy = folders.damaged(folders.finished, damage)
    gives(lambda: load(copy).report())


def a_comparison_or_an_error(folders: Folders, damage: Damage) -> None:
    copy = folders.damaged(folders.finished, damage)

    def lines() -> list[str]:
        with drawn_from(copy):
            return compare(copy, folders.finished).lines()

    gives(lines)


def the_same_end_or_an_error(folders: Folders, damage: Damage, within: str) -> None:
    copy = folders.damaged(folders.stopped, damage, within=within)
    if gives(lambda: resume(copy, report=False, quiet=True)):
        same_as_undisturbed(folders, copy)


def same_as_undisturbed(folders: Folders, ended: Path) -> None:
    """Weights and scores and predictions are; of the log of epochs, what a damage of the log itself has spoilt is spoilt."""
    whole = folders.place / "whole"
    if not whole.exists():
        shutil.copytree(folders.stopped, whole)
        resume(whole, report=False, quiet=True)
    log = "metrics.jsonl"
    shutil.copyfile(whole / log, ended / log)
    first, second = results(whole), results(ended)
    compared = ("model", "metrics", "predictions", "ledger")
    assert [name for name in compared if first[name] != second[name]] == []


@some(40)
@given(damage=DAMAGES)
def test_a_damaged_run_predicts_the_same_or_says_what_is_damaged(folders: Folders, damage: Damage) -> None:
    same_answers_or_an_error(folders, damage)


@some(6)
@given(damage=DAMAGES)
def test_the_report_of_a_damaged_run_is_written_or_the_damage_is_said(folders: Folders, damage: Damage) -> None:
    a_report_or_an_error(folders, damage)


@some(8)
@given(damage=DAMAGES)
def test_a_damaged_run_is_compared_or_the_damage_is_said(folders: Folders, damage: Damage) -> None:
    a_comparison_or_an_error(folders, damage)


@pytest.mark.parametrize("within", ["", "checkpoints"])
@some(4)
@given(damage=DAMAGES)
def test_a_stopped_run_with_damage_goes_on_to_the_same_end_or_says_what_is_damaged(
    folders: Folders, within: str, damage: Damage
) -> None:
    the_same_end_or_an_error(folders, damage, within)


@pytest.mark.slow  # thousands of damaged copies: minutes
@some(2000)
@given(damage=DAMAGES)
def test_two_thousand_damages_change_no_prediction(folders: Folders, damage: Damage) -> None:
    same_answers_or_an_error(folders, damage)


@pytest.mark.slow  # half a second for each report
@some(150)
@given(damage=DAMAGES)
def test_a_hundred_and_fifty_damages_end_no_report_in_another_error(folders: Folders, damage: Damage) -> None:
    a_report_or_an_error(folders, damage)
    a_comparison_or_an_error(folders, damage)


@pytest.mark.slow  # each run goes on to its end
@pytest.mark.parametrize("within", ["", "checkpoints"])
@some(200)
@given(damage=DAMAGES)
def test_two_hundred_damages_change_no_end(folders: Folders, within: str, damage: Damage) -> None:
    the_same_end_or_an_error(folders, damage, within)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("hidden: 256", "hidden: 25", "head.hidden is 25, but the model was saved with 256"),
        ("width: 8", "width: 9", "backbone.width is 9, but the model was saved with 8"),
        ("label_separator: '|'", "label_separator: '/'", "data.label_separator is '/', but the model was saved with '|'"),
        ("use: mlp", "use: linear", "unknown key 'hidden'"),
        ("baselines: auto", "baselines: auto\nevaluation: {use: tiny/last-label}", "evaluation.use is 'tiny/last-label'"),
    ],
)
def test_an_option_of_a_finished_run_that_was_changed_is_refused(folders: Folders, was: str, now: str, said: str) -> None:
    lock = folders.damaged(folders.finished, Damage("flip", 0, 0, 0), within="model/backbone") / "recipe.lock.yaml"
    shutil.copytree(folders.finished / "model", lock.parent / "model", dirs_exist_ok=True)
    text = lock.read_text(encoding="utf-8")
    assert was in text
    lock.write_text(text.replace(was, now), encoding="utf-8")
    with pytest.raises(HeadstartError) as caught:
        answers(lock.parent)
    assert said in str(caught.value)


def test_a_stopped_run_without_its_recipe_says_so(folders: Folders) -> None:
    lock = folders.damaged(folders.stopped, Damage("flip", 0, 0, 0), within="checkpoints") / "recipe.lock.yaml"
    lock.unlink()
    with pytest.raises(HeadstartError, match=r"recipe\.lock\.yaml: not found; .* put the file back from a copy"):
        resume(lock.parent, report=False, quiet=True)


def test_a_run_whose_data_lie_elsewhere_by_now_still_predicts(folders: Folders) -> None:
    copy = folders.place / "moved"
    shutil.copytree(folders.finished, copy)
    lock = copy / "recipe.lock.yaml"
    text = lock.read_text(encoding="utf-8")
    lock.write_text(
        text.replace(str(folders.place), "/data/of/another/machine").replace("seed: 0\n  batch", "seed: 1\n  batch")
    )
    assert answers(copy) == answers(folders.finished)


def test_a_flipped_byte_in_saved_predictions_is_found_by_the_checksum_of_its_page(folders: Folders) -> None:
    whole = folders.finished / "predictions.parquet"
    content, copy = whole.read_bytes(), folders.place / "flipped.parquet"
    pages = len(content) - int.from_bytes(content[-8:-4], "little") - 8
    said, refused = read_predictions(whole), 0
    for at in range(4, pages, pages // 150):
        copy.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        try:
            assert read_predictions(copy) == said
        except DataError:
            refused += 1
    assert refused > 75  # the others are statistics that nobody reads
