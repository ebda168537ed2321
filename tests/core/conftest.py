"""Small real parts for the engine's tests: a backbone in milliseconds, data with a rule to learn, and runs of both."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from headstart.build import make_model
from headstart.data import Data
from headstart.example import Example, Target
from headstart.model import Model
from headstart.plugins import registry
from headstart.recipe import Part, Recipe
from headstart.recipe_file import recipe_from_mapping
from headstart.run import Run

PLUGIN = Path(__file__).with_name("tiny_parts.py")
GOOD = ("warm", "funny", "moving", "clever", "bright")
BAD = ("dull", "cold", "boring", "clumsy", "grey")
PLAIN = ("film", "story", "actor", "scene", "score", "ending", "camera", "plot")
LABELS = ("bad", "good")


def sentences(count: int, seed: int = 0) -> list[tuple[str, float]]:
    """Different texts of 4 to 7 words and the share of their feeling words that are good."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        share = number % 4 / 3
        feelings = [str(generator.choice(GOOD if at < round(3 * share) else BAD)) for at in range(3)]
        words = [*feelings, *map(str, generator.choice(PLAIN, generator.integers(0, 4)))]
        generator.shuffle(words)
        rows.append((f"{' '.join(words)} no{seed}x{number}", share))
    return rows


TARGETS: Mapping[str, Callable[[float], Any]] = {
    "class": lambda share: LABELS[share > 0.5],
    "number": lambda share: 10 + 4 * share,
    "labels": lambda share: tuple(label for label, holds in (("good", share > 0.3), ("bad", share < 0.7)) if holds),
}


class Sentences(Data):
    """Texts in memory whose feeling words decide the target."""

    modality = "text"
    target_kinds = ("class", "number", "labels")

    def __init__(self, count: int = 64, kind: str = "class", *, groups: int = 0, seed: int = 0) -> None:
        self.rows = [
            Example(f"e{number}", text, TARGETS[kind](share), group=f"g{number // 4 % groups}" if groups else None)
            for number, (text, share) in enumerate(sentences(count, seed))
        ]
        self.kind = kind

    @property
    def target(self) -> Target:
        """Two labels, or a number."""
        return Target(self.kind, () if self.kind == "number" else LABELS)

    def examples(self) -> Sequence[Example]:
        """All of them."""
        return self.rows

    def read(self, source: Any) -> Any:
        """A text."""
        return str(source)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the tiny plugin, registered as by `--plugin` for this test and its child processes."""
    return _add_plugin(monkeypatch)


@pytest.fixture(scope="module")
def tiny_for_module() -> Iterator[ModuleType]:
    """The same for fixtures that a whole module of tests shares."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield _add_plugin(monkeypatch)


def _add_plugin(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    import sys

    monkeypatch.setenv("HEADSTART_PLUGIN_FILES", str(PLUGIN))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # child processes: tiny tensors are slower on several threads
    record = next(record for record in registry().records if record.name == PLUGIN.stem)
    assert record.error is None, record.error
    return sys.modules[PLUGIN.stem]


@pytest.fixture(scope="session")
def make_sentences() -> type[Sentences]:
    """Data in memory: `make_sentences(count, kind, groups=..., seed=...)`."""
    return Sentences


@pytest.fixture
def make_tiny(tiny: ModuleType) -> Callable[..., Model]:
    """A model of the tiny backbone: `make_tiny(head="linear", kind="class", seed=0, **options of the backbone)`."""

    def make(head: str = "linear", kind: str = "class", *, seed: int = 0, **options: Any) -> Model:
        recipe = Recipe(Part("table"), Part("tiny/words", options), Part(head))
        changed = recipe_with(recipe, seed)
        return make_model(changed, Target(kind, () if kind == "number" else LABELS))

    return make


def recipe_with(recipe: Recipe, seed: int) -> Recipe:
    """The recipe with another training seed."""
    from dataclasses import replace

    return replace(recipe, train=replace(recipe.train, seed=seed))


@pytest.fixture(scope="session")
def write_csv() -> Callable[..., Path]:
    """`write_csv(path, count, kind="class", seed=0, groups=0)` writes a table with the columns text, label and group."""

    def write(path: Path, count: int = 64, kind: str = "class", *, seed: int = 0, groups: int = 0) -> Path:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label", *(["group"] if groups else [])])
            for example in Sentences(count, kind, groups=groups, seed=seed).rows:
                label = "|".join(example.target) if kind == "labels" else example.target
                writer.writerow([example.input, label, *([example.group] if groups else [])])
        return path

    return write


@pytest.fixture(scope="session")
def make_recipe(write_csv: Callable[..., Path]) -> Callable[..., Recipe]:
    """A checked recipe with the tiny backbone on a csv file that it writes: `make_recipe(folder, head=..., train={...})`."""

    def make(folder: Path, *, count: int = 64, kind: str = "class", groups: int = 0, **sections: Any) -> Recipe:
        file = folder / f"{kind}-{count}-{groups}.csv"
        if not file.exists():
            write_csv(file, count, kind, groups=groups)
        data = {"use": "table", "path": str(file), "text": "text", "label": "label", "kind": kind}
        data |= {"label_separator": "|"} if kind == "labels" else {}
        data |= {"group": "group"} if groups else {}
        plans = {"split": {"test": 0.25, "val": 0.25}, "strategy": {"use": "probe", "epochs": 3}, "train": {"device": "cpu"}}
        return recipe_from_mapping({"name": "tiny", "data": data, "backbone": "tiny/words", **plans, **sections})

    return make


@pytest.fixture
def run_tiny(tiny: ModuleType, make_recipe: Callable[..., Recipe], tmp_path: Path) -> Callable[..., Run]:
    """Make a recipe and fit it under `tmp_path / "runs"`, without the report."""
    from headstart.fit import fit

    def run(*, report: bool = False, **sections: Any) -> Run:
        return fit(make_recipe(tmp_path, **sections), tmp_path / "runs", report=report)

    return run


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny tensors are slower on several threads, and other processes want the cores."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


@pytest.fixture(scope="module")
def children(write_csv: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A folder with a recipe that thaws stage by stage, with dropout, BatchNorm and an average, and its processes."""
    from resuming import RECIPE, Children

    place = tmp_path_factory.mktemp("place")
    write_csv(place / "rows.csv")
    (place / "recipe.yaml").write_text(RECIPE.format(path=place / "rows.csv"), encoding="utf-8")
    found = Children(place)
    yield found
    found.close()
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def undisturbed(children: Any) -> Path:
    """The run that nothing happened to."""
    code, folder = children.run("undisturbed")
    assert code == 0, children.log
    return Path(folder)
