"""Hostile recipes through the real reader: one located fault, exit code 2, nothing run, nothing of the environment told."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.errors import HeadstartError, RecipeError, UsageError
from headstart.fit import fit
from headstart.recipe import Recipe
from headstart.recipe_file import load_recipe

BASE = "data: {use: table, path: rows.csv}\nbackbone: nlp/encoder\n"
BOMB = "\n".join(["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)])


def refused(path: Path, content: str) -> str:
    """The message of a recipe that is refused in less than 2 s of its own."""
    path.write_text(content, encoding="utf-8")
    began = time.process_time()
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert time.process_time() - began < 2
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (BASE + "head: !!python/object/apply:os.system ['touch ran']", "recipes have no tags"),
        (BOMB, "recipes have no aliases"),
        (BASE + "strategy: {use: full, lr: .nan}", "'lr' must be a finite number, got nan"),
        (BASE + "strategy: {use: full, lr: .inf}", "'lr' must be a finite number, got inf"),
        (BASE + "head: {_target_: os.system}", "'head' names no part"),
        (BASE + "head: {use: os.system}", "no head named 'os.system'"),
        (BASE + "head: {use: linear, _target_: os.system}", "unknown key '_target_'"),
        (BASE + "name: ${oc.env:HOME}", "'name' must be a short text, got '${oc.env:HOME}'"),
        (BASE + "name: ../../etc/cron.d/x", "'name' must be a short text"),
        (BASE + "train: {batch_size: 1e9}", "'batch_size' must be a whole number, got 1000000000.0"),
        (BASE + "train: {batch_size: 1000000000}", "'batch_size'"),
        (BASE + "train: {micro_batch: 1000000000}", "'micro_batch'"),
        (BASE + "train: {views: 1000000000}", "'views'"),
    ],
)
def test_a_hostile_recipe_is_one_located_fault_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refused(tmp_path / "recipe.yaml", content)
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_nothing_of_the_environment_is_put_into_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    path = tmp_path / "recipe.yaml"
    path.write_text(BASE.replace("rows.csv", "'${oc.env:SECRET}/$SECRET.csv'"), encoding="utf-8")
    assert load_recipe(path).data.options["path"] == "${oc.env:SECRET}/$SECRET.csv"


@pytest.mark.parametrize(
    "strategy",
    [
        {"use": "full", "epochs": 10**9},
        {"use": "gradual", "head_epochs": 10**9},
        {"use": "schedule", "phases": [{"name": "one", "epochs": 10**9, "train": [{"select": ["head"], "lr": 0.1}]}]},
    ],
    ids=lambda strategy: strategy["use"],
)
def test_more_epochs_than_anybody_means_are_refused_before_anything_is_written(
    tiny: object, make_recipe: Callable[..., Recipe], tmp_path: Path, strategy: dict[str, object]
) -> None:
    recipe = make_recipe(tmp_path, strategy=strategy)
    began = time.process_time()
    with pytest.raises(UsageError, match="has 1000000000 epochs; at most 100,000"):
        fit(recipe, tmp_path / "runs", report=False, quiet=True)
    assert time.process_time() - began < 2
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def run(tiny: object, make_recipe: Callable[..., Recipe], tmp_path: Path) -> Callable[[Path], Path]:
    """Fit a small recipe under a folder of runs; gives the run's folder."""
    return lambda out: fit(make_recipe(tmp_path), out, report=False, quiet=True).folder


def test_a_link_as_folder_of_runs_is_followed_and_nothing_there_is_overwritten(
    run: Callable[[Path], Path], tmp_path: Path
) -> None:
    there, out = tmp_path / "there", tmp_path / "out"
    there.mkdir()
    (there / "kept").write_text("mine")
    out.symlink_to(there)
    folder = run(out)
    assert folder.resolve().parent == there.resolve()
    assert sorted(path.name for path in there.iterdir()) == sorted(["kept", "latest", folder.name])
    assert (there / "kept").read_text() == "mine"


def test_a_link_named_latest_is_replaced_and_what_it_led_to_is_left_alone(run: Callable[[Path], Path], tmp_path: Path) -> None:
    victim, out = tmp_path / "victim", tmp_path / "out"
    victim.mkdir()
    (victim / "kept").write_text("mine")
    out.mkdir()
    (out / "latest").symlink_to(victim)
    folder = run(out)
    assert (out / "latest").resolve() == folder.resolve()
    assert [path.name for path in victim.iterdir()] == ["kept"]


@pytest.mark.parametrize("leads_to", ["nowhere/at/all", "out", "a-file"])
def test_a_link_that_leads_to_no_folder_is_refused_before_training(
    run: Callable[[Path], Path], tmp_path: Path, leads_to: str
) -> None:
    (tmp_path / "a-file").write_text("mine")
    out = tmp_path / "out"
    out.symlink_to(tmp_path / leads_to)
    with pytest.raises(UsageError, match=r"cannot make a folder for the run under .*; name another with --out"):
        run(out)
    assert not (tmp_path / "nowhere").exists()
    assert (tmp_path / "a-file").read_text() == "mine"


PARTS = st.sampled_from(["table", "nlp/encoder", "linear", "full", "os.system", "../x", "\x00", "é" * 300])
KEYS = st.sampled_from(["use", "path", "lr", "epochs", "batch_size", "seed", "test", "names", "_target_", "by", "name", "from"])
VALUES = st.recursive(
    st.one_of(PARTS, st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
SECTIONS = ("name", "from", "data", "backbone", "head", "strategy", "evaluation", "split", "train", "baselines", "lock")


@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=st.dictionaries(st.sampled_from(SECTIONS), VALUES, max_size=4))
def test_a_sound_recipe_with_any_sections_exchanged_is_a_recipe_or_a_typed_error(tmp_path: Path, changes: object) -> None:
    import json

    sound = {"data": {"use": "table", "path": "rows.csv"}, "backbone": "nlp/encoder"}
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps({**sound, **changes}), encoding="utf-8")  # type: ignore[dict-item] # JSON is YAML
    try:
        load_recipe(path)
    except HeadstartError as error:
        assert str(error) and error.exit_code in (2, 4)
