"""C2: gradual unfreezing of ResNet-18 at 96 px: ours with and without its store, fastai's and Lightning's ways.

    python benchmarks/c2_gradual.py [--rounds 2 | --profile]

Three phases of four epochs: the head, layer4 as well, layer3 as well; validation after every epoch. The weights are random
(no ResNet-18 weights lie in a package), so scores only show that nothing is broken. With `train.exact` ours with and
without its store must end in equal weights, which is checked first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from contest import DATA, HERE, Contestant, hold, rival_python
from safetensors.torch import save_file
from torchvision import models

EPOCHS = 4
RECIPE = """name: c2
data: {{use: vision/folder, path: {data}}}
backbone: {{use: vision/resnet18, weights: {weights}, size: 96}}
head: linear
strategy:
  use: schedule
  phases:
    - {{name: head, epochs: {epochs}, train: [{{select: [head], lr: 1e-3}}]}}
    - {{name: layer4, epochs: {epochs}, train: [{{select: [head], lr: 1e-3}}, {{select: [layer4], lr: 1e-4}}]}}
    - {{name: layer3, epochs: {epochs}, train: [{{select: [head], lr: 1e-3}}, {{select: [layer4, layer3], lr: 1e-4}}]}}
split: {{test: 0}}
train: {{batch_size: 16, keep: last, precision: float32}}
baselines: none
"""


def main() -> None:
    """Check that weights are equal, hold the contest and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--profile", action="store_true", help="Only say where ours with its store spends its time.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        network = models.resnet18()
        save_file(network.state_dict(), folder / "whole.safetensors")
        save_file({n: t for n, t in network.state_dict().items() if not n.startswith("fc.")}, folder / "body.safetensors")
        recipe = folder / "recipe.yaml"
        data = DATA / "hymenoptera"
        short = folder / "short.yaml"
        for file, epochs in ((recipe, EPOCHS), (short, 1)):
            file.write_text(RECIPE.format(data=data, weights=folder / "whole.safetensors", epochs=epochs), encoding="utf-8")
        ours = [sys.executable, str(HERE / "ours_pictures.py"), str(recipe)]
        if given.profile:
            profiled = [sys.executable, "-m", "cProfile", "-s", "tottime", *ours[1:], "--set", "train.store=memory"]
            subprocess.run(profiled, check=True)
            return
        check_equal([*ours[:-1], str(short)], folder)
        rival = [rival_python(), str(HERE / "rivals_pictures.py")]
        weights = str(folder / "body.safetensors")
        options = ["--data", str(data), "--weights", weights, "--epochs", str(EPOCHS), "--folder", name]
        hold(
            [
                Contestant("headstart", [*ours, "--set", "train.store=memory"]),
                Contestant("headstart, store off", [*ours, "--set", "train.store=off"]),
                Contestant("fastai", [*rival, "gradual-fastai", *options]),
                Contestant("Lightning", [*rival, "gradual-lightning", *options]),
            ],
            given.rounds,
        )


def check_equal(ours: list[str], folder: Path) -> None:
    """Compare the final weights of exact runs of one epoch a phase, with and without a store.

    Raises:
        SystemExit: They differ.
    """
    found = []
    for store in ("memory", "off"):
        file = folder / f"{store}.pt"
        changes = [f"train.store={store}", "train.exact=true"]
        flags = [part for change in changes for part in ("--set", change)]
        done = subprocess.run([*ours, *flags, "--weights", str(file)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        print(f"exact, store {store}: {json.loads(done.stdout.splitlines()[-1])}", flush=True)
        found.append(torch.load(file, weights_only=True))
    unequal = [name for name, tensor in found[0].items() if not torch.equal(tensor, found[1][name])]
    if unequal:
        raise SystemExit(f"with and without a store {len(unequal)} tensors differ, first {unequal[0]}")
    print(f"exact: all {len(found[0])} tensors are equal with and without a store")


if __name__ == "__main__":
    main()
