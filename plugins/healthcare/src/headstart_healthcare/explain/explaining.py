"""Explaining a run: heat maps of a few test cases or of new inputs, checked, written beside the run and shown in its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor

from headstart.build import make_data, part_class
from headstart.device import choose
from headstart.errors import DataError, UsageError
from headstart.example import Example
from headstart.explained_cases import Case, case_of, choose_cases
from headstart.explaining import Explained, Request
from headstart.files import write_bytes, write_json
from headstart.model import Model
from headstart.mosaic import png
from headstart.run import Run
from headstart.run_files import RunFiles
from headstart_healthcare.explain.heat import Heat, choose_port, grad_cam, occlusion, spatial_input
from headstart_healthcare.explain.overlay import grey_bytes, overlay_picture, overlay_volume
from headstart_healthcare.explain.sanity import Sanity, check

Method = Literal["both", "grad-cam", "occlusion"]

FOLDER, FILE = "explanations", "explanations.json"
CHECKED = 2  # cases whose occlusion is made again with random weights
CAVEAT = (
    "Heat maps do not locate disease reliably: Grad-CAM did best of seven methods and worse than radiologists (Saporta et al. "
    "2022), and every one of eight failed at least one test of trust (Arun et al. 2021)."
)


def explain_run(run: Run, inputs: Sequence[Any] = (), *, cases: int = 6, method: Method = "both") -> dict[str, Any]:
    """Explain test cases of a run, or new inputs; pictures and `explanations.json` are written into its folder.

    Args:
        run: On pictures or volumes.
        inputs: New ones, read as the run's data; none = test examples, chosen by rule.
        cases: Test examples at most.
        method: Which maps are made.

    Returns:
        What `explanations.json` holds.

    Raises:
        DataError: There is no test part, or its examples are no longer where they were.
        UsageError: The run reads something else, or its head and network allow no such map.
    """
    compute = choose(run.recipe.train)
    model = run.model.to(compute.device).eval()
    chosen, examples = _new(run, inputs) if inputs else _tested(run, cases)
    batch = {name: tensor.to(compute.device) for name, tensor in model.backbone.prepare([e.input for e in examples]).items()}
    spatial_input(batch)  # says what is wrong before anything is computed
    labels = [case.label for case in chosen]
    heats, checks = _heats(model, batch, labels, method)
    folder = run.folder / FOLDER
    folder.mkdir(exist_ok=True)
    files = _write_pictures(folder, model, batch, heats)
    found = {
        "caveat": CAVEAT,
        "axes": spatial_input(batch)[1].ndim - 2,
        "methods": [
            {"method": h.method, "read": h.where, "check": str(c), **asdict(c)} for h, c in zip(heats, checks, strict=True)
        ],
        "cases": [{**asdict(case), "file": file} for case, file in zip(chosen, files, strict=True)],
    }
    write_json(folder / FILE, found)
    return found


def _tested(run: Run, count: int) -> tuple[list[Case], list[Example]]:
    outcome = RunFiles(run.folder).outcome()
    if outcome is None or not outcome.examples:
        raise DataError(f"{run.folder} has no test part to choose cases from; name inputs: headstart explain RUN INPUT")
    if count < 1:
        raise UsageError(f"cases is {count}; write 1 or more")
    by_id = {example.id: example for example in make_data(run.recipe.data).examples()}
    chosen = choose_cases(outcome, run.model.head.target.kind, count)
    absent = [case.id for case in chosen if case.id not in by_id]
    if absent or not chosen:
        raise DataError(
            f"the data no longer hold {absent[0] if absent else 'an example with an answer'}; are they as they were?"
        )
    return chosen, [by_id[case.id] for case in chosen]


def _new(run: Run, inputs: Sequence[Any]) -> tuple[list[Case], list[Example]]:
    data = make_data(run.recipe.data)
    examples = [Example(str(at), data.read(source)) for at, source in enumerate(inputs)]
    chosen = []
    for example, prediction in zip(examples, run.predict_examples(examples), strict=True):
        chosen.append(case_of(example.id, None, prediction, run.model.head.target.kind, "asked for"))
    return chosen, examples


def _heats(model: Model, batch: Mapping[str, Tensor], labels: Sequence[str], method: Method) -> tuple[list[Heat], list[Sanity]]:
    """Maps by each method, and what the check says of them; occlusion, which is slow, is checked on the first cases."""
    heats, checks = [], []
    if method in ("both", "grad-cam"):
        make = partial(grad_cam, batch=batch, labels=labels, port=choose_port(model, batch))
        heats.append(make(model))
        checks.append(check(model, heats[-1], make))
    if method in ("both", "occlusion"):
        heats.append(occlusion(model, batch, labels))
        few = {name: tensor[:CHECKED] for name, tensor in batch.items()}
        first = replace(heats[-1], signed=heats[-1].signed[:CHECKED])
        checks.append(check(model, first, partial(occlusion, batch=few, labels=labels[:CHECKED])))
    return heats, checks


def _write_pictures(folder: Path, model: Model, batch: Mapping[str, Tensor], heats: Sequence[Heat]) -> list[str]:
    """One file per case; the strength of a colour means the same in all of them."""
    _, values = spatial_input(batch)
    scales = [float(np.clip(heat.fine, 0, None).max()) for heat in heats]
    pictures = model.backbone.pictures({name: tensor.cpu() for name, tensor in batch.items()}) if values.ndim == 4 else None
    names = []
    for at in range(len(values)):
        fine = [heat.fine[at] for heat in heats]
        if values.ndim == 4:
            seen = pictures[at] if pictures is not None else grey_bytes(values[at, 0].cpu().float().numpy())
            drawn = overlay_picture(seen, fine, scales)
        else:
            drawn = overlay_volume(grey_bytes(torch.as_tensor(values[at, 0]).cpu().float().numpy()), fine, scales)
        names.append(f"case-{at + 1}.png")
        write_bytes(folder / names[-1], png(drawn))
    return names


def explain(run: Run, request: Request) -> Explained | None:
    """What `headstart explain` asks: heat maps of runs on pictures and volumes; None for others."""
    if part_class("data", run.recipe.data.use).modality not in ("image", "volume"):
        return None
    if request.method not in ("", *get_args(Method)):
        raise UsageError(f"there is no method '{request.method}'; methods: {', '.join(get_args(Method))}")
    method = cast(Method, request.method or "both")
    found = explain_run(run, request.inputs, cases=request.cases, method=method)
    cases = [f"{case['file']}: {case['label']}, {case['why']}" for case in found["cases"]]
    checks = [f"{one['method']}, from {one['read']}; {one['check']}" for one in found["methods"]]
    return Explained((*cases, *checks, found["caveat"]), run.folder / FOLDER / FILE)
