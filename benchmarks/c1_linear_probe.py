"""C1: a linear probe on 397 photographs, 10 epochs, EfficientNet-Lite0: ours against the field.

    python benchmarks/c1_linear_probe.py [--rounds 2]      about 16 minutes of CPU a round

Rivals: the loop of PyTorch's transfer-learning tutorial, Hugging Face Trainer, fastai, each with the backbone frozen and
validation after every epoch, and features with scikit-learn written by hand. All have the same weights, pictures, batches
and epochs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from contest import DATA, HERE, Contestant, hold, rival_python
from safetensors.torch import save_file

EPOCHS = 10
RIVALS = {"tutorial": "PyTorch tutorial", "trainer": "Hugging Face Trainer", "fastai": "fastai", "by-hand": "by hand"}


def main() -> None:
    """Hold the contest and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rivals", nargs="+", choices=RIVALS, default=list(RIVALS), help="Only these.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        from headstart.plugins import registry

        weights = Path(folder) / "lite0.safetensors"
        save_file(registry().find("backbone", "vision/efficientnet-lite0").load()().network.state_dict(), weights)
        recipe = Path(folder) / "recipe.yaml"
        recipe.write_text(
            f"""name: c1
data: {{use: vision/folder, path: {DATA / "hymenoptera"}}}
backbone: vision/efficientnet-lite0
head: linear
strategy: {{use: probe, epochs: {EPOCHS}, lr: 3e-3, patience: null}}
split: {{test: 0}}
train: {{batch_size: 16, keep: last, store: memory, precision: float32}}
baselines: none
""",
            encoding="utf-8",
        )
        rival = [rival_python(), str(HERE / "rivals_pictures.py")]
        options = ["--data", str(DATA / "hymenoptera"), "--weights", str(weights), "--epochs", str(EPOCHS), "--folder", folder]
        others = [Contestant(RIVALS[key], [*rival, key, *options]) for key in given.rivals]
        hold([Contestant("headstart", [sys.executable, str(HERE / "ours_pictures.py"), str(recipe)]), *others], given.rounds)


if __name__ == "__main__":
    main()
