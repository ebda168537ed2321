"""Values that later runs, other views and other threads use: computed once, equal whatever way they came."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from headstart.builtin.strategies import Gradual, Probe
from headstart.builtin.strategies_partial import LastStages
from headstart.device import Compute
from headstart.feeds import Feeds
from headstart.loop import Training
from headstart.recipe import TrainPlan
from headstart.run import Run
from headstart.training import train

CPU = Compute(torch.device("cpu"))
MEASURED = 3  # examples that are run to learn what a pass costs: two are counted, one runs for its time


def events(run: Run, name: str) -> list[dict[str, Any]]:
    """Facts of the events of a kind, in their order."""
    lines = (run.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == name]


def executions(run: Run) -> dict[str, int]:
    """Stage -> examples that went through it."""
    found: dict[str, int] = json.loads((run.folder / "ledger.json").read_text(encoding="utf-8"))["executions"]
    return found


def weights(run: Run) -> Mapping[str, Tensor]:
    """All tensors of the kept model."""
    from headstart import load

    return load(run.folder).model.state()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("exact", [True, False])
def test_a_second_run_computes_nothing_of_what_the_first_kept_on_disk(run_tiny: Callable[..., Run], cache, exact) -> None:
    plan = {"device": "cpu", "store": "disk", "exact": exact}
    first, second = run_tiny(train=plan), run_tiny(train=plan, strategy={"use": "probe", "epochs": 5})
    assert [event["computed"] for event in events(first, "stored")] == [32, 16, 16]
    assert {event["place"] for event in events(first, "stored")} == {"disk"}
    assert [event["computed"] for event in events(second, "stored")] == [0, 0, 0]
    assert set(executions(first).values()) == {64 + MEASURED}
    assert set(executions(second).values()) == {MEASURED}


def test_a_run_from_disk_gives_the_weights_of_one_in_memory(run_tiny: Callable[..., Run], cache) -> None:
    runs = [run_tiny(train={"device": "cpu", "store": store, "exact": True}) for store in ("disk", "disk", "memory", "off")]
    first = weights(runs[0])
    for run in runs[1:]:
        assert all(torch.equal(tensor, first[name]) for name, tensor in weights(run).items())


def test_of_ten_percent_new_examples_only_those_are_computed(
    run_tiny: Callable[..., Run], write_csv: Callable[..., Path], tmp_path: Path, cache
) -> None:
    plan = {"device": "cpu", "store": "disk"}
    run_tiny(train=plan)
    first = (tmp_path / "class-64-0.csv").read_text(encoding="utf-8").splitlines()
    new = write_csv(tmp_path / "new.csv", 6, seed=9).read_text(encoding="utf-8").splitlines()[1:]
    (tmp_path / "class-64-0.csv").write_text("\n".join([*first, *new]) + "\n", encoding="utf-8")
    again = run_tiny(train=plan)
    assert sum(event["examples"] for event in events(again, "stored")) == 70
    assert sum(event["computed"] for event in events(again, "stored")) == 6


@pytest.mark.parametrize(
    "changed",
    [{"backbone": {"use": "tiny/words", "seed": 1}}, {"train": {"device": "cpu", "store": "disk", "exact": True}}],
    ids=["weights", "exactness"],
)
def test_what_decides_the_values_is_a_miss(run_tiny: Callable[..., Run], cache, changed: Mapping[str, Any]) -> None:
    plan = {"train": {"device": "cpu", "store": "disk"}}
    run_tiny(**plan)
    assert sum(event["computed"] for event in events(run_tiny(**{**plan, **changed}), "stored")) == 64


def test_a_boundary_on_disk_serves_another_strategy_with_the_same_one(run_tiny: Callable[..., Run], cache) -> None:
    plan = {"device": "cpu", "store": "disk"}
    run_tiny(train=plan, strategy={"use": "last-stages", "epochs": 2})
    gradual = {"use": "gradual", "head_epochs": 1, "epochs": 2, "step": 1, "depth": 1}
    found = {
        event.get("after", "head"): event["computed"] for event in events(run_tiny(train=plan, strategy=gradual), "stored")
    }
    assert found["block.1"] == 0
    assert found["head"] == 16  # of the test examples, at the end: those for training began at the stored boundary


def test_auto_reads_what_is_on_disk_and_writes_nothing_that_the_run_has_trained(run_tiny: Callable[..., Run], cache) -> None:
    run_tiny(train={"device": "cpu", "store": "disk"})
    auto = run_tiny(strategy={"use": "gradual", "head_epochs": 1, "epochs": 1, "step": 1, "depth": 1})
    found = [(event["split"], event.get("after", "head"), event["place"]) for event in events(auto, "stored")]
    assert ("train", "head", "disk") in found, "the head phase reads what the first run kept"
    last = run_tiny(train={"device": "cpu", "store": "disk"}, strategy={"use": "full", "epochs": 1})
    assert {event["place"] for event in events(last, "stored")} == {"memory"}, "no other run has such weights"


class Shouting:
    """Sentences whose training views have a word more, another in each view."""

    def __new__(cls, make_sentences: Any, count: int) -> Any:
        """An instance of the data class given, with an augmentation of its own."""

        class Augmented(make_sentences):  # type: ignore[misc]
            augments = True

            def augment(self, text: str, generator: np.random.Generator) -> str:
                """The text with a random word."""
                return f"{text} w{generator.integers(1000)}"

        return Augmented(count)


def trained(make_tiny: Any, data: Any, strategy: Any, *, tell: Any = lambda *_, **__: None, **plan: Any) -> Feeds:
    """The feeds of a finished training of 28 examples, 12 for validation."""
    model = make_tiny(dropout=0.0)
    training = Training(model, strategy, TrainPlan(batch_size=8, device="cpu", **plan), CPU, tell)
    feeds = Feeds(training, data, {"train": data.rows[12:], "val": data.rows[:12], "test": []})
    train(training, feeds)
    return feeds


def equal(first: Feeds, second: Feeds) -> bool:
    """Whether two trainings gave the same weights to the bit."""
    other = second.training.model.state()
    return all(torch.equal(tensor, other[name]) for name, tensor in first.training.model.state().items())


def strategies() -> Sequence[Any]:
    """One with all of the backbone frozen, one with half of it, one with both in turn."""
    return Probe(epochs=5), LastStages(stages=1, epochs=5), Gradual(head_epochs=2, epochs=3, step=1, depth=1, lr=1e-2)


def test_stored_views_train_to_the_weights_of_live_ones(make_tiny, make_sentences) -> None:
    data = Shouting(make_sentences, 40)
    kept = trained(make_tiny, data, Probe(epochs=5), views=2, exact=True, store="memory")
    live = trained(make_tiny, data, Probe(epochs=5), views=2, exact=True, store="off")
    assert equal(kept, live)
    other = trained(make_tiny, data, Probe(epochs=5), views=3, exact=True, store="memory")
    assert not equal(kept, other)
    assert kept.tally.executions["embedding"] < live.tally.executions["embedding"]


def test_views_are_computed_once_each(make_tiny, make_sentences) -> None:
    feeds = trained(make_tiny, Shouting(make_sentences, 40), Probe(epochs=6), views=3)
    assert set(feeds.tally.executions.values()) == {3 * 28 + 12 + MEASURED}


@pytest.mark.parametrize("at", [1, 2], ids=["last-stages", "gradual"])
@pytest.mark.parametrize(("views", "why"), [(0, "train.views"), (2, "differ in length")])
def test_augmented_training_runs_live_where_stages_train_and_says_so(make_tiny, make_sentences, at, views, why) -> None:
    told: list[Mapping[str, Any]] = []

    def tell(event: str, **facts: Any) -> None:
        if event == "live":
            told.append(facts)

    data = Shouting(make_sentences, 40)
    feeds = trained(make_tiny, data, strategies()[at], tell=tell, store="memory", views=views)
    assert [(facts["split"], facts["after"]) for facts in told] == [("train", "block.1")]
    assert why in told[0]["why"]
    assert feeds.tally.executions["embedding"] > 3 * 28, "the epochs in which stages train are live"


def test_a_compact_store_says_its_error_and_trains_near_the_full_one(make_tiny, make_sentences) -> None:
    told: list[Mapping[str, Any]] = []

    def tell(event: str, **facts: Any) -> None:
        if event == "stored":
            told.append(facts)

    def run(*, compact: bool) -> Feeds:
        strategy = LastStages(stages=1, epochs=3)
        return trained(make_tiny, make_sentences(40), strategy, tell=tell, compact=compact, store="memory")

    small, whole = run(compact=True), run(compact=False)
    errors = [facts["error"] for facts in told if "error" in facts]
    assert len(errors) == 2
    assert all(0 < error < 1e-3 for error in errors)  # float16 has 11 bits
    sizes = [facts["megabytes"] for facts in told]
    assert sizes[0] <= sizes[2]
    other = whole.training.model.state()
    assert not equal(small, whole)
    for name, tensor in small.training.model.state().items():
        torch.testing.assert_close(tensor, other[name], rtol=0.05, atol=0.02)


def test_decisions_and_counts_stand_in_the_ledger(tiny: ModuleType, run_tiny: Callable[..., Run], cache) -> None:
    run = run_tiny(train={"device": "cpu", "store": "memory"})
    ledger = json.loads((run.folder / "ledger.json").read_text(encoding="utf-8"))
    assert ledger["phases"][0]["stored"] == ["pooled"]
    assert ledger["floor"]["times"] >= 1
    assert ledger["floor"]["gflop"] >= ledger["floor"]["least_gflop"] > 0
    assert events(run, "floor")[0]["times"] == ledger["floor"]["times"]
