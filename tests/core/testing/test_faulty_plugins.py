"""Twelve faulty plugins, each a distribution with one fault: `headstart plugins test` is red for each, in the right words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

HOOKS = """
from headstart.components import Component
from headstart.hookspecs import hookimpl

@hookimpl
def headstart_backbones():
    yield Component("PREFIX/net", "hs_PREFIX_parts:Net", "two layers")

@hookimpl
def headstart_heads():
    yield Component("PREFIX/task", "hs_PREFIX_parts:Task", "nearest to a number")
"""
PARTS = '''
import time, urllib.request
import numpy as np
import torch
from torch import nn
from headstart import Backbone, Head, Prediction, Stage, WeightsCard, errors, metrics

class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.low = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
        self.high = nn.Linear(8, 8)
    def forward(self, values):
        return self.high(torch.tanh(self.low(values)))

class Net(Backbone):
    """Two layers."""
    modality = "vector"
    port_names = ("pooled",)
    def __init__(self):
        super().__init__()
        self.network = Layers()
        self.stages = (Stage("low", ("low",)), Stage("high", ("high",)))
        self.ports = {"pooled": 8}
        self.card = WeightsCard(source="none")
    def prepare(self, inputs, *, train=False, rngs=None):
        return {"x": torch.stack([torch.tensor(np.array(each), dtype=torch.float32) for each in inputs])}
    def forward(self, batch):
        return {"pooled": self.network(batch["x"])}

class Task(Head):
    """One number."""
    kinds = ("number",)
    needs = ("pooled",)
    def __init__(self, ports, target):
        super().__init__(ports, target)
        self.out = nn.Linear(self.ports["pooled"], 1)
    def loss(self, features, targets):
        if None in targets:
            raise errors.DataError("a target is missing: leave the row out")
        found = self.out(features["pooled"])[:, 0]
        return {"squared": (found - torch.tensor(targets, dtype=torch.float32)).square().mean()}
    @torch.no_grad()
    def predict(self, features):
        return [Prediction(value) for value in self.out(features["pooled"])[:, 0].tolist()]
    def score(self, predictions, targets, weights=None):
        return metrics.regression_scores(targets, predictions, weights)
'''
STAGES = '(Stage("low", ("low",)), Stage("high", ("high",)))'
PREPARED = "torch.tensor(np.array(each), dtype=torch.float32)"
# plugin -> what is replaced in the sound one, and by what; the check that has to be red; what it has to say
FAULTS: Mapping[str, tuple[tuple[str, str], str, tuple[str, ...]]] = {
    "overlap": (
        (STAGES, '(Stage("low", ("low",)), Stage("high", ("high", "low.0")))'),
        "stages_cover_every_parameter_once",
        ("'low.0.weight' is claimed by two stages, 'low' and 'high'", "exactly one Stage"),
    ),
    "lying-order": (
        (STAGES, '(Stage("high", ("high",)), Stage("low", ("low",)))'),
        "stages_run_in_their_order",
        ("high -> low, but they run as low -> high", "order the stages"),
    ),
    "drift": (
        ('return {"pooled": self.network', 'self.network.low[1].train(); return {"pooled": self.network'),
        "freezing_holds_through_optimiser_steps",
        ("backbone.low.1.running_mean", "never call `.train()`"),
    ),
    "width": (
        ('self.ports = {"pooled": 8}', 'self.ports = {"pooled": 9}'),
        "ports_have_the_widths_declared",
        ("port 'pooled' has 8 channels", "`ports` says 9", "declare {'pooled': 8}"),
    ),
    "eager": (("", ""), "offering_imports_nothing_heavy", ("offering imports torch", "name classes by import strings")),
    "downloading": (
        ("self.network = Layers()", "self.network = Layers(); self.fetch()"),
        "works_without_the_network",
        ("asked the network for weights.invalid", "read weights from a place"),
    ),
    "global-random": (
        (PREPARED, f"{PREPARED} + float(np.random.rand())"),
        "prepare_leaves_global_random_numbers_alone",
        ("draws from the global random numbers of numpy.random", "draw from `rngs` alone"),
    ),
    "mutating": (
        (PREPARED, "torch.tensor(np.subtract(each, each.mean(), out=each), dtype=torch.float32)"),
        "prepare_leaves_its_inputs_alone",
        ("`prepare` changes its inputs [0, 1, 2, 3] in place", "work on a copy"),
    ),
    "unpicklable": (
        ("self.network = Layers()", "self.network = Layers(); self.shift = lambda value: value"),
        "survives_pickling",
        ("cannot be pickled", "hold no lambdas"),
    ),
    "clock": (
        (PREPARED, f"{PREPARED} + 1e-6 * (time.perf_counter_ns() % 1_000_003)"),
        "prepare_is_a_function_of_its_seeds",
        ("gives another x for the same inputs and rngs", "one generator per example"),
    ),
    "nan-loss": (
        (
            'found = self.out(features["pooled"])[:, 0]',
            'found = self.out(features["pooled"] / features["pooled"].std(dim=0))[:, 0]',
        ),
        "loss_is_finite_on_one_example",
        ("the loss 'squared' is nan on a batch of one example", "a variance over one example is NaN"),
    ),
    "thief": (
        ("", ""),
        "names_are_free",
        ("the backbone 'sound/net' is offered by headstart-sound 1.0 too", "prefix of your own"),
    ),
}
FETCH = """
    def fetch(self):
        try:
            urllib.request.urlopen("http://weights.invalid/net.safetensors", timeout=1)
        except OSError:
            pass
"""


def install(site: Path, name: str, hooks: str, parts: str) -> None:
    """A distribution `headstart-<name>` 1.0 as pip would lay it down."""
    module = f"hs_{name.replace('-', '_')}"
    info = site / f"headstart_{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    needs = "Requires-Dist: headstart>=0.1,<0.2\n"
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: headstart-{name}\nVersion: 1.0\n{needs}", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[headstart]\n{name} = {module}\n", encoding="utf-8")
    (site / f"{module}.py").write_text(hooks.replace("hs_PREFIX", module).replace("PREFIX", name), encoding="utf-8")
    (site / f"{module}_parts.py").write_text(parts, encoding="utf-8")


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> tuple[int, dict[tuple[str, str], tuple[str, str]]]:
    """Exit code, and plugin or part and check -> outcome and message, of the sound plugin and the twelve faulty ones."""
    site = tmp_path_factory.mktemp("site")
    install(site, "sound", HOOKS, PARTS)
    for name, ((old, new), _, _) in FAULTS.items():
        assert old in PARTS
        hooks = f"import torch\n{HOOKS}" if name == "eager" else HOOKS
        hooks = hooks.replace("PREFIX/net", "sound/net") if name == "thief" else hooks
        faulty = PARTS.replace(old, new) if old else PARTS
        install(site, name, hooks, faulty.replace("class Task", f"{FETCH}\nclass Task") if name == "downloading" else faulty)
    names = ["sound", *FAULTS]
    checks = [f"--check={check}" for check in dict.fromkeys(check for _, check, _ in FAULTS.values())]
    environment = {**os.environ, "PYTHONPATH": str(site), "HEADSTART_PLUGINS": ",".join(names), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "headstart", "plugins", "test", *names, *checks, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert done.stdout, done.stderr
    found = {(row["part"], row["check"]): (row["outcome"], row["message"]) for row in json.loads(done.stdout)}
    return done.returncode, found


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_plugin_is_red_and_says_what_is_wrong_and_how_to_mend_it(name, verdicts):
    _, check, said = FAULTS[name]
    _, found = verdicts
    part = next(part for part, each in found if each == check and part.partition("/")[0] == name)
    outcome, message = found[part, check]
    assert outcome == "failed"
    assert [words for words in said if words not in message] == [], message


def test_the_sound_plugin_beside_them_is_green_but_for_its_stolen_name(verdicts):
    code, found = verdicts
    own = {check: outcome for (part, check), (outcome, _) in found.items() if part in ("sound", "sound/task")}
    assert code == 1
    assert {check for check, outcome in own.items() if outcome == "failed"} == {"names_are_free"}
    assert own["loss_is_finite_on_one_example"] == "passed"


def test_each_of_the_others_passes_what_it_is_not_at_fault_in(verdicts):
    _, found = verdicts
    red = {(part, check) for (part, check), (outcome, _) in found.items() if outcome == "failed"}
    assert ("width/net", "stages_cover_every_parameter_once") not in red
    assert ("unpicklable/net", "freezing_holds_through_optimiser_steps") not in red
    assert ("nan-loss/net", "survives_pickling") not in red
    assert not [part for part, check in red if check == "offering_imports_nothing_heavy" and part != "eager"]
