"""A lock of a text run with a network of transformers: repeated to the bit, and begun from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from headstart.build import build
from headstart.fit import fit
from headstart.locking import first_other_file
from headstart.recipe import Part, Recipe, SplitPlan, TrainPlan
from headstart.run import LOCK
from headstart.run_files import RunFiles


def test_a_text_run_is_repeated_to_the_bit_and_begun_from(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    rows = [f"w{at % 7} w{at % 5} {('dull', 'joy')[at % 2]} w{at},{('down', 'up')[at % 2]}" for at in range(24)]
    table = tmp_path / "rows.csv"
    table.write_text("\n".join(["text,label", *rows]) + "\n")
    recipe = Recipe(
        data=Part("table", {"path": str(table), "text": "text", "label": "label"}),
        backbone=Part("nlp/encoder", {"weights": str(tiny("bert"))}),
        strategy=Part("full", {"epochs": 2, "lr": 1e-3}),
        split=SplitPlan(test=6, val=4, near=False),
        train=TrainPlan(batch_size=8, device="cpu"),
        baselines="none",
    )
    run = fit(recipe, tmp_path / "runs", report=False)
    again = fit(Recipe.load(run.folder / LOCK), tmp_path / "runs", report=False)
    assert first_other_file(run.folder, again.folder) is None
    lock = RunFiles(run.folder).made_from
    assert lock["weights"]["source"] == "bert"  # without its folder
    assert len(lock["weights"]["sha256"]) == 64
    assert "transformers" in lock["versions"]

    model = build(replace(recipe, parent=str(run.folder))).model
    saved = run.model.state()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in model.state().items())
    assert model.origin.endswith("backbone and head taken")
