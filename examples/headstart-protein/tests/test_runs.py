"""Whole runs with the plugin as it is installed: found by its entry point, named in recipes, from file to predictions."""

from __future__ import annotations

import json
from pathlib import Path

import headstart
import numpy as np
import pytest
from headstart import Part, Recipe

from headstart_protein.alphabet import STANDARD

HELIX, SHEET = "AELMQKRH", "VIYCWFT"  # residues that are frequent in either (Chou and Fasman 1974)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


def planted(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Sequences of stretches that favour the residues of a helix (H) or a sheet (E), and the letter of each residue."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        letters, labels = "", ""
        for _ in range(3):
            kind, length = rng.choice(["H", "E"]), int(rng.integers(5, 9))
            favoured = list(HELIX if kind == "H" else SHEET)
            letters += "".join(rng.choice(favoured if rng.random() < 0.85 else list(STANDARD)) for _ in range(length))
            labels += kind * length
        found.append((letters, labels))
    return found


def recipe(folder: Path, weights: Path, **parts: object) -> Recipe:
    data = {"path": str(folder / "p.csv"), "identity": None} | parts.pop("data", {})  # type: ignore[operator]
    return Recipe(
        data=Part("protein/table", data),
        backbone=Part("protein/encoder", {"weights": str(weights)}),
        baselines="none",
        **parts,
    )


def test_residues_are_learnt_through_thawing_layers_and_a_run_predicts(tmp_path, esm):
    rows = [f"{sequence},{labels}" for sequence, labels in planted(48)]
    (tmp_path / "p.csv").write_text("\n".join(["sequence,label", *rows]) + "\n")
    run = recipe(
        tmp_path,
        esm,
        data={"kind": "residues"},
        head=Part("protein/residues"),
        strategy=Part("last-stages", {"stages": 2, "epochs": 6, "lr": 1e-2}),
    ).run(tmp_path / "runs")
    assert run.metrics["test"]["accuracy_residues"]["value"] > 0.7
    ledger = json.loads((run.folder / "ledger.json").read_text())
    assert "embeddings" in json.dumps(ledger)
    again = headstart.load(run.folder)
    (prediction,) = again.predict(["AELMKVVIYW"])
    assert len(prediction.value) == 10
    assert set(prediction.value) <= {"E", "H"}


def test_a_property_needs_no_head_of_our_own(tmp_path, bert):
    """The core's logistic regression reads the port "pooled"; families stay together."""
    rng = np.random.default_rng(1)
    kinds = {"helix": HELIX, "sheet": SHEET}
    rows = [
        ("".join(rng.choice(list(kinds[kind]), 20)), kind) for _ in range(40) for kind in kinds
    ]  # fmt: skip
    (tmp_path / "p.fasta").write_text("".join(f">s{at} class={kind}\n{sequence}\n" for at, (sequence, kind) in enumerate(rows)))
    run = recipe(
        tmp_path, bert, data={"path": str(tmp_path / "p.fasta"), "identity": 0.9}, head=Part("logistic"), strategy=Part("probe")
    ).run(tmp_path / "runs")
    assert run.metrics["test"]["accuracy"]["value"] > 0.9


def test_families_never_stand_in_two_splits(tmp_path, bert):
    rng = np.random.default_rng(2)
    roots = ["".join(rng.choice(list(STANDARD), 30)) for _ in range(12)]
    rows = [(root[:at] + "W" + root[at + 1 :], "ab"[number % 2]) for number, root in enumerate(roots) for at in (3, 9, 15, 21)]
    (tmp_path / "p.csv").write_text("\n".join(["seq,label", *(f"{s},{label}" for s, label in rows)]) + "\n")
    run = recipe(
        tmp_path, bert, data={"identity": 0.6}, head=Part("logistic"), strategy=Part("probe")
    ).run(tmp_path / "runs")  # fmt: skip
    split = json.loads((run.folder / "split.json").read_text())
    where = {id: part for part in ("train", "val", "test") for id in split[part]}
    families = [{where[f"p:{4 * number + at + 1}"] for at in range(4)} for number in range(12)]
    assert all(len(parts) == 1 for parts in families)
    assert len({part for parts in families for part in parts}) == 3
