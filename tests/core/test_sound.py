"""NaN and infinity in inputs and targets: refused with the example that holds them, whichever part let them through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from headstart.build import build
from headstart.builtin.memory import MemoryVectors
from headstart.builtin.vectors import Vectors
from headstart.data_check import check_data
from headstart.device import Compute
from headstart.errors import DataError
from headstart.feed import LiveFeed
from headstart.fit import fit
from headstart.recipe import Part, Recipe, SplitPlan, TrainPlan

RECIPE = Recipe(
    Part("memory-vectors"),
    Part("vectors", {"width": 3}),
    Part("linear"),
    strategy=Part("probe", {"epochs": 1}),
    split=SplitPlan(by="given", test=0, val=0, near=False),
    train=TrainPlan(device="cpu", workers=2),
    baselines="none",
)


class Careless(Vectors):
    """A backbone that looks at nothing, as a plugin's may be."""

    def prepare(self, inputs: Sequence[Any], *, train: bool = False, rngs: Any = None) -> dict[str, Tensor]:
        """Vectors as they come."""
        return {"vectors": torch.from_numpy(np.stack(inputs).astype(np.float32))}


def vectors(value: float, count: int = 24) -> MemoryVectors:
    """Examples "0", "1", ... with one value in the column 1 of the eighth."""
    rows = np.random.default_rng(0).normal(size=(count, 3))
    rows[7, 1] = value
    return MemoryVectors.of(list(rows), [("bad", "good")[at % 2] for at in range(count)], ("bad", "good"), ["train"] * count)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_of_numbers_with_a_gap_stops_the_run_with_row_and_column(tmp_path: Path, value: float) -> None:
    with pytest.raises(DataError, match=rf"^7: an input has {value} in column 1; fill missing values in first"):
        fit(RECIPE, tmp_path, data=vectors(value), report=False, quiet=True)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_a_careless_backbone_lets_through_is_refused_with_the_example(value: float, workers: int) -> None:
    data, model = vectors(value), build(RECIPE, data=vectors(0.0)).model
    model.backbone = Careless(width=3)
    feed = LiveFeed(model, data, data.examples(), Compute(torch.device("cpu")), workers=workers)
    feed.expect([[0, 1], [6, 7, 8]])
    assert feed.prepare([0, 1])["vectors"].shape == (2, 3)
    with pytest.raises(DataError, match=r"^7: it holds NaN or infinite values; leave it out, or fill them in"):
        feed.prepare([6, 7, 8])


def test_numbers_whose_sum_is_too_large_are_no_fault() -> None:
    model = build(RECIPE, data=vectors(0.0)).model
    model.backbone = Careless(width=3)
    data = vectors(0.0)
    feed = LiveFeed(model, data, data.examples(), Compute(torch.device("cpu")))
    data.examples()[0].input[:] = 3e38
    assert float(feed.prepare([0])["vectors"].max()) == pytest.approx(3e38)


@pytest.mark.parametrize("value", [np.nan, np.inf, "warm"])
def test_a_target_that_is_no_number_stops_the_run_with_its_example(tiny, make_recipe, make_sentences, tmp_path, value) -> None:
    from dataclasses import replace

    data = make_sentences(32, "number")
    data.rows[5] = replace(data.rows[5], target=value)
    said = rf"the target is no finite number in 1 of 32 examples: e5 \({value}\); correct them, or leave their target empty"
    with pytest.raises(DataError, match=said):
        fit(make_recipe(tmp_path, kind="number", head="regression"), tmp_path, data=data, report=False, quiet=True)


@pytest.mark.parametrize("word", ["nan", "inf", "-Infinity", "n/a"])
def test_a_table_names_file_and_line_of_such_a_target_in_check_too(tiny, make_recipe, tmp_path: Path, word: str) -> None:
    recipe = make_recipe(tmp_path, kind="number", head="regression")
    file = Path(recipe.data.options["path"])
    lines = file.read_text().splitlines()
    lines[9] = f"{lines[9].rpartition(',')[0]},{word}"
    file.write_text("\n".join(lines) + "\n")
    [finding] = [finding for finding in check_data(recipe).findings if finding.level == "error"]
    assert f"{file}:10: the label '{word}' is no number" in finding.text
