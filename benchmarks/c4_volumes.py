"""C4: a head on 24 volumes of 64 x 64 x 64, ten epochs: stored features against MONAI's CacheDataset and a plain loop.

    python benchmarks/c4_volumes.py [--rounds 2]

Volumes are made (noise, a bright ball where sick) and written as NIfTI. Both sides read the same files, scale them to
[-1, 1] by the same window, turn them the same way, run the same frozen ResNet-10 of MONAI with the same random weights in
batches of 4, and train a linear layer by AdamW from the same start in the same order. Checked first: with `train.exact`
ours ends in equal weights with and without its store; and the head that MONAI's loop trains is ours, within `ALIKE`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
import torch
import torch.nn.functional as F
from contest import HERE, Contestant, hold

VOLUMES, SIDE, EPOCHS, BATCH = 24, 64, 10, 4
LARGEST = 1.5  # value of a voxel
ALIKE = 1e-4  # largest difference of a weight of the head, as a share of the way of the furthest; 1.5e-5 was measured
HEAD = "head.out.weight"
RECIPE = """name: c4
data: {{use: healthcare/volumes, path: {data}, group: none, window: 0.75/1.5}}
backbone: {{use: healthcare/monai-resnet10-3d, weights: {weights}, size: {side}}}
head: linear
strategy: {strategy}
split: {{by: stratified, test: 0, val: 0}}
train: {{batch_size: {batch}, keep: last, precision: float32, clip: 0}}
baselines: none
"""


def strategy(epochs: int) -> str:
    """A probe whose rate never changes, as the loop's."""
    group = "{select: [head], lr: 1e-3, weight_decay: 0.01}"
    return f"{{use: schedule, phases: [{{name: head, epochs: {epochs}, schedule: constant, warmup: 0, train: [{group}]}}]}}"


def main() -> None:
    """Make the volumes, check that weights are equal, hold the contest and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--side-of", choices=("ours", "monai"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--set", action="append", default=[], dest="changes", help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side_of == "ours":
        ours(given.folder, given.changes, given.weights)
    elif given.side_of == "monai":
        monai_loop(given.folder, given.weights)
    else:
        contest(given.rounds)


def contest(rounds: int) -> None:
    """Both sides in turn, each in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        command = [sys.executable, str(HERE / "c4_volumes.py"), "--folder", str(folder), "--side-of"]
        check_equal([*command, "ours"], folder)
        check_alike(command, folder)
        hold(
            [
                Contestant("headstart", [*command, "ours"]),
                Contestant("headstart, store off", [*command, "ours", "--set", "train.store=off"]),
                Contestant("MONAI CacheDataset, plain loop", [*command, "monai"]),
            ],
            rounds,
        )


def make(folder: Path) -> None:
    """CLASS/N.nii.gz, the recipe, and random weights for the network of both sides."""
    from safetensors.torch import save_file

    from headstart_healthcare.backbones.monai_volumes import MonaiResNet10Volume

    rng = np.random.default_rng(0)
    axes = np.indices((SIDE,) * 3) - SIDE // 2
    ball = (axes**2).sum(axis=0) < (SIDE // 5) ** 2
    for number in range(VOLUMES):
        voxels = rng.random((SIDE,) * 3, dtype=np.float32) + (number % 2) * 0.5 * ball
        path = folder / "data" / ("well", "sick")[number % 2] / f"{number}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nibabel.Nifti1Image(voxels, np.eye(4))  # type: ignore[no-untyped-call]
        nibabel.save(image, path)  # type: ignore[attr-defined]
    torch.manual_seed(0)
    network = MonaiResNet10Volume(weights="none", size=SIDE).network
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / "body.safetensors")
    text = RECIPE.format(
        data=folder / "data", weights=folder / "body.safetensors", side=SIDE, strategy=strategy(EPOCHS), batch=BATCH
    )
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    write_start(folder)


def write_start(folder: Path) -> None:
    """What the other side needs to do the same: files in their order, the head before training, the batches of each epoch."""
    from headstart import Recipe
    from headstart.job import make_job
    from headstart.order import seed_of, training_batches

    job = make_job(Recipe.load(folder / "recipe.yaml"))
    model, plan = job.built.model, job.recipe.train
    (phase,) = job.built.strategy.phases(model)
    examples = job.shared.rounds()[0][1]["train"]
    sizes, seed = [1] * len(examples), seed_of(plan.seed, phase.name)
    start = {
        "files": [example.input.paths[0] for example in examples],
        "labels": [job.built.data.target.labels.index(example.target) for example in examples],
        "head": {name.removeprefix("out."): value for name, value in model.head.state_dict().items() if "out." in name},
        "batches": [training_batches(seed, epoch, sizes, plan.batch_size) for epoch in range(1, EPOCHS + 1)],
    }
    torch.save(start, folder / "start.pt")


def check_equal(command: list[str], folder: Path) -> None:
    """Exact runs with and without the store end in equal weights.

    Raises:
        SystemExit: They differ.
    """
    found = []
    for store in ("memory", "off"):
        file = folder / f"{store}.pt"
        changes = ["--set", "train.exact=true", "--set", f"train.store={store}", "--set", f"strategy={strategy(2)}"]
        subprocess.run([*command, *changes, "--weights", str(file)], check=True, capture_output=True)
        found.append(torch.load(file, weights_only=True))
    different = [name for name in found[0] if not torch.equal(found[0][name], found[1][name])]
    if different:
        raise SystemExit(f"{len(different)} tensors differ with and without the store, the first is {different[0]}")
    print(f"exact runs with and without the store: all {len(found[0])} tensors are equal", flush=True)


def check_alike(command: list[str], folder: Path) -> None:
    """Both sides end in the same head, but for rounding.

    Raises:
        SystemExit: They do not.
    """
    heads = []
    for side in ("ours", "monai"):
        file = folder / f"{side}.pt"
        changes = ["--set", "train.exact=true"] if side == "ours" else []  # as the other side: no BatchNorm folded
        subprocess.run([*command, side, "--weights", str(file), *changes], check=True, capture_output=True)
        heads.append(torch.load(file, weights_only=True)[HEAD])
    began = torch.load(folder / "start.pt", weights_only=True)["head"]["weight"]
    apart, moved = float((heads[0] - heads[1]).abs().max()), float((heads[0] - began).abs().max())
    if apart > ALIKE * moved:
        raise SystemExit(f"the heads differ by up to {apart:.1e} after moving by up to {moved:.1e}")
    print(f"ours and MONAI's loop: the heads' weights moved by up to {moved:.1e} and differ by up to {apart:.1e}", flush=True)


def ours(folder: Path, changes: list[str], weights: Path | None) -> None:
    """The recipe through the public API; prints the loss of the last epoch and CPU-seconds after imports."""
    import monai.networks.nets  # noqa: F401 - imported before the clock starts, as on the other side

    import headstart_healthcare.data.volumes  # noqa: F401
    from headstart import Recipe
    from headstart.fit import fit

    torch.set_num_threads(1)
    started = time.process_time()
    with tempfile.TemporaryDirectory() as out:
        run = fit(Recipe.load(folder / "recipe.yaml", changes), Path(out), report=False, quiet=True)
        own = time.process_time() - started
        last = json.loads((run.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
        if weights:
            torch.save(dict(run.model.state()), weights)
    print(json.dumps({"score": last["train_loss"], "own": own}))


def monai_loop(folder: Path, weights: Path | None) -> None:
    """What MONAI's tutorials write: cached volumes, the frozen network run anew in every epoch, a linear layer trained."""
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import Compose, EnsureTyped, LoadImaged, Orientationd, Resized, ScaleIntensityRanged, Transposed
    from safetensors.torch import load_file

    from headstart_healthcare.backbones.monai_networks import make_resnet

    torch.set_num_threads(1)
    start = torch.load(folder / "start.pt", weights_only=True)
    started = time.process_time()
    items = [{"image": file, "label": label} for file, label in zip(start["files"], start["labels"], strict=True)]
    steps = Compose([
        LoadImaged("image", reader="NibabelReader", ensure_channel_first=True),
        Orientationd("image", axcodes="RAS", labels=None),
        ScaleIntensityRanged("image", a_min=0, a_max=LARGEST, b_min=-1, b_max=1, clip=True),
        Transposed("image", indices=(0, 3, 2, 1)),  # depth first, as the other side sees it
        Resized("image", (SIDE,) * 3), EnsureTyped("image", track_meta=False),
    ])  # fmt: skip
    cached = CacheDataset(items, steps, num_workers=0, progress=False)
    network = make_resnet(10, 3, 1)
    network.load_state_dict(load_file(folder / "body.safetensors"))
    network.eval().requires_grad_(requires_grad=False)
    head = torch.nn.Linear(512, 2)
    head.load_state_dict(start["head"])
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.01)
    loss = 0.0
    for batches in start["batches"]:
        loss = 0.0
        for batch in DataLoader(cached, batch_sampler=batches):
            with torch.no_grad():
                features = network(batch["image"])
            value = F.cross_entropy(head(features), batch["label"])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            loss += float(value.detach()) * len(batch["label"])
    own = time.process_time() - started
    if weights:
        torch.save({HEAD: head.weight.detach()}, weights)
    print(json.dumps({"score": loss / VOLUMES, "own": own}))


if __name__ == "__main__":
    main()
