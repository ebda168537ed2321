"""C4: a head on 24 volumes of 64 x 64 x 64, ten epochs: stored features against MONAI's CacheDataset and a plain loop.

    python benchmarks/c4_volumes.py [--rounds 2]

Volumes are made (noise, a bright ball where sick) and written as NIfTI; both sides read the same files, run the same
frozen ResNet-10 of MONAI with the same random weights in batches of 4, and train a linear layer with AdamW. With
`train.exact` ours with and without its store must end in equal weights, which is checked first.
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
from contest import HERE, Contestant, hold

VOLUMES, SIDE, EPOCHS, BATCH = 24, 64, 10, 4
RECIPE = """name: c4
data: {{use: healthcare/volumes, path: {data}, group: none, window: full}}
backbone: {{use: healthcare/monai-resnet10-3d, weights: {weights}, size: {side}}}
head: linear
strategy: {{use: probe, epochs: {epochs}, patience: null, schedule: constant, lr: 1e-3}}
split: {{by: stratified, test: 0, val: 0}}
train: {{batch_size: {batch}, keep: last, precision: float32}}
baselines: none
"""


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
        monai_loop(given.folder)
    else:
        contest(given.rounds)


def contest(rounds: int) -> None:
    """Both sides in turn, each in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        command = [sys.executable, str(HERE / "c4_volumes.py"), "--folder", str(folder), "--side-of"]
        check_equal([*command, "ours"], folder)
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
    text = RECIPE.format(data=folder / "data", weights=folder / "body.safetensors", side=SIDE, epochs=EPOCHS, batch=BATCH)
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")


def check_equal(command: list[str], folder: Path) -> None:
    """Exact runs with and without the store end in equal weights.

    Raises:
        SystemExit: They differ.
    """
    found = []
    for store in ("memory", "off"):
        file = folder / f"{store}.pt"
        changes = ["--set", "train.exact=true", "--set", f"train.store={store}", "--set", "strategy.epochs=2"]
        subprocess.run([*command, *changes, "--weights", str(file)], check=True, capture_output=True)
        found.append(torch.load(file, weights_only=True))
    different = [name for name in found[0] if not torch.equal(found[0][name], found[1][name])]
    if different:
        raise SystemExit(f"{len(different)} tensors differ with and without the store, the first is {different[0]}")
    print(f"exact runs with and without the store: all {len(found[0])} tensors are equal", flush=True)


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


def monai_loop(folder: Path) -> None:
    """What MONAI's tutorials write: cached volumes, the frozen network run anew in every epoch, a linear layer trained."""
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import Compose, EnsureTyped, LoadImaged, Orientationd, Resized, ScaleIntensityd
    from safetensors.torch import load_file

    from headstart_healthcare.backbones.monai_networks import make_resnet

    torch.set_num_threads(1)
    started = time.process_time()
    files = sorted((folder / "data").glob("*/*.nii.gz"))
    items = [{"image": str(path), "label": int(path.parent.name == "sick")} for path in files]
    steps = Compose([
        LoadImaged("image", reader="NibabelReader", ensure_channel_first=True),
        Orientationd("image", axcodes="RAS", labels=None),
        ScaleIntensityd("image"), Resized("image", (SIDE,) * 3), EnsureTyped("image", track_meta=False),
    ])  # fmt: skip
    torch.manual_seed(0)
    loader = DataLoader(CacheDataset(items, steps, num_workers=0, progress=False), batch_size=BATCH, shuffle=True)
    network = make_resnet(10, 3, 1)
    network.load_state_dict(load_file(folder / "body.safetensors"))
    network.eval().requires_grad_(requires_grad=False)
    head = torch.nn.Linear(512, 2)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.01)
    loss = 0.0
    for _ in range(EPOCHS):
        loss = 0.0
        for batch in loader:
            with torch.no_grad():
                features = network(batch["image"])
            value = torch.nn.functional.cross_entropy(head(features), batch["label"])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            loss += float(value) * len(batch["label"])
    print(json.dumps({"score": loss / VOLUMES, "own": time.process_time() - started}))


if __name__ == "__main__":
    main()
