"""The rivals in the contests on pictures, in the form in which their own documentation shows the task.

Run by the contest scripts in the rivals' environment: `python rivals_pictures.py CONTEST RIVAL --data FOLDER --weights FILE`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import load_file
from torch import nn
from torchvision import datasets, models, transforms
from torchvision.transforms import InterpolationMode

SEED, BATCH = 0, 16
LITE_SIZE = 224
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def lite0(weights: str) -> nn.Module:
    """EfficientNet-Lite0 up to its pooled features, all frozen."""
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    network.load_state_dict(load_file(weights))
    return network.requires_grad_(False)


def pictures(data: str, size: int) -> tuple[datasets.ImageFolder, datasets.ImageFolder]:
    """Training and validation pictures, prepared as the weights expect: EfficientNet-Lite0's at 224 px, else ResNet's."""
    lite = size == LITE_SIZE
    ready = transforms.Compose(
        [
            transforms.Resize(
                round(size * 256 / 224), interpolation=InterpolationMode.BICUBIC if lite else InterpolationMode.BILINEAR
            ),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(*(((0.5,) * 3, (0.5,) * 3) if lite else IMAGENET)),
        ]
    )
    return datasets.ImageFolder(f"{data}/train", ready), datasets.ImageFolder(f"{data}/val", ready)


def loader(data: datasets.ImageFolder, *, shuffle: bool) -> torch.utils.data.DataLoader:
    """Batches; no workers, as one thread is what every contestant has."""
    return torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=shuffle)


def accuracy(model: nn.Module, data: datasets.ImageFolder) -> float:
    """Share of right answers."""
    model.eval()
    with torch.no_grad():
        right = sum(int((model(x).argmax(1) == y).sum()) for x, y in loader(data, shuffle=False))
    return right / len(data)


class Probe(nn.Module):
    """A frozen network and a linear layer."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.body, self.head = lite0(weights), nn.Linear(1280, 2)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(pixel_values))


def tutorial(given: argparse.Namespace) -> float:
    """The loop of PyTorch's transfer-learning tutorial: frozen network, new layer, validation after every epoch."""
    train, val = pictures(given.data, 224)
    model, loss = Probe(given.weights), nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.head.parameters(), lr=3e-3)
    for _ in range(given.epochs):
        model.train()
        model.body.eval()  # the tutorial leaves the BatchNorms of the frozen network in training mode, which moves them
        for x, y in loader(train, shuffle=True):
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
        score = accuracy(model, val)
    return score


def trainer(given: argparse.Namespace) -> float:
    """Hugging Face Trainer around the same module."""
    from transformers import Trainer, TrainingArguments

    train, val = pictures(given.data, 224)

    class WithLoss(Probe):
        def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            logits = super().forward(pixel_values)
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

        def train(self, mode: bool = True) -> WithLoss:
            super().train(mode)
            self.body.eval()
            return self

    def collate(rows: list) -> dict[str, torch.Tensor]:
        return {"pixel_values": torch.stack([x for x, _ in rows]), "labels": torch.tensor([y for _, y in rows])}

    arguments = TrainingArguments(
        output_dir=given.folder, num_train_epochs=given.epochs, per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=BATCH, learning_rate=3e-3, eval_strategy="epoch", save_strategy="no", report_to=[],
        use_cpu=True, seed=SEED, disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    found = Trainer(
        model=WithLoss(given.weights), args=arguments, train_dataset=train, eval_dataset=val, data_collator=collate,
        compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(1) == p.label_ids).mean())},
    )  # fmt: skip
    found.train()
    return found.evaluate()["eval_accuracy"]


def fastai(given: argparse.Namespace) -> float:
    """fastai's Learner with the body frozen."""
    from fastai.callback import progress, schedule  # noqa: F401 - they give the learner its methods
    from fastai.callback.training import BnFreeze
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.metrics import accuracy as share

    train, val = pictures(given.data, 224)
    loaders = DataLoaders(loader(train, shuffle=True), loader(val, shuffle=False))
    model = Probe(given.weights)
    learner = Learner(
        loaders, model, loss_func=nn.CrossEntropyLoss(), metrics=share, train_bn=False, cbs=BnFreeze,
        splitter=lambda m: [list(m.body.parameters()), list(m.head.parameters())],
    )  # fmt: skip
    learner.freeze()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(given.epochs, 3e-3)
    return float(learner.validate()[1])


def by_hand(given: argparse.Namespace) -> float:
    """What a careful person writes: features once, then scikit-learn."""
    from sklearn.linear_model import LogisticRegression

    network = lite0(given.weights).eval()

    def features(data: datasets.ImageFolder) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            rows = [(network(x).numpy(), y.numpy()) for x, y in loader(data, shuffle=False)]
        return np.concatenate([x for x, _ in rows]), np.concatenate([y for _, y in rows])

    train, val = pictures(given.data, 224)
    model = LogisticRegression(max_iter=1000).fit(*features(train))
    return float(model.score(*features(val)))


class Resnet(nn.Module):
    """ResNet-18 with random weights and two classes."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.body = models.resnet18()
        self.body.fc = nn.Identity()
        self.body.load_state_dict(load_file(weights))
        self.head = nn.Linear(512, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def parts(model: Resnet) -> list[list[nn.Parameter]]:
    """Parameters from input to output in four groups: below, layer3, layer4, head."""
    body = model.body
    below = [*body.conv1.parameters(), *body.bn1.parameters(), *body.layer1.parameters(), *body.layer2.parameters()]
    return [below, list(body.layer3.parameters()), list(body.layer4.parameters()), list(model.head.parameters())]


def gradual_fastai(given: argparse.Namespace) -> float:
    """fastai's freeze_to: the head, then layer4, then layer3 as well."""
    from fastai.callback import progress, schedule  # noqa: F401 - they give the learner its methods
    from fastai.callback.training import BnFreeze
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.metrics import accuracy as share

    train, val = pictures(given.data, 96)
    loaders = DataLoaders(loader(train, shuffle=True), loader(val, shuffle=False))
    learner = Learner(
        loaders,
        Resnet(given.weights),
        loss_func=nn.CrossEntropyLoss(),
        metrics=share,
        splitter=parts,
        train_bn=False,
        cbs=BnFreeze,
    )
    with learner.no_bar(), learner.no_logging():
        for lowest in (-1, -2, -3):
            learner.freeze_to(lowest)
            learner.fit_one_cycle(given.epochs, 1e-3)
    return float(learner.validate()[1])


def gradual_lightning(given: argparse.Namespace) -> float:
    """Lightning's BaseFinetuning with the same plan."""
    import lightning as pl
    from lightning.pytorch.callbacks import BaseFinetuning

    train, val = pictures(given.data, 96)

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = Resnet(given.weights)

        def training_step(self, batch: tuple, _: int) -> torch.Tensor:
            return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

        def validation_step(self, batch: tuple, _: int) -> None:
            share = (self.model(batch[0]).argmax(1) == batch[1]).float().mean()
            self.log("accuracy", share, batch_size=len(batch[1]), on_epoch=True)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.model.head.parameters(), lr=1e-3)

    class Gradual(BaseFinetuning):
        def freeze_before_training(self, module: Module) -> None:
            self.freeze(module.model.body, train_bn=False)

        def finetune_function(self, module: Module, epoch: int, optimizer: torch.optim.Optimizer) -> None:
            body = module.model.body
            thawing = {given.epochs: body.layer4, 2 * given.epochs: body.layer3}.get(epoch)
            if thawing is not None:
                self.unfreeze_and_add_param_group(thawing, optimizer, lr=1e-4, train_bn=True)

    run = pl.Trainer(
        max_epochs=3 * given.epochs, callbacks=[Gradual()], logger=False, enable_checkpointing=False, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=given.folder,
    )  # fmt: skip
    module = Module()
    run.fit(module, loader(train, shuffle=True), loader(val, shuffle=False))
    return float(run.callback_metrics["accuracy"])


RIVALS = {
    "tutorial": tutorial, "trainer": trainer, "fastai": fastai, "by-hand": by_hand,
    "gradual-fastai": gradual_fastai, "gradual-lightning": gradual_lightning,
}  # fmt: skip
IMPORTS = {
    "trainer": "transformers.trainer", "fastai": "fastai.learner", "by-hand": "sklearn.linear_model",
    "gradual-fastai": "fastai.learner", "gradual-lightning": "lightning",
}  # fmt: skip


def main() -> None:
    """Run one rival and print its score and CPU-seconds after its imports."""
    import importlib

    parser = argparse.ArgumentParser()
    parser.add_argument("rival", choices=RIVALS)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--folder", default="/tmp")
    given = parser.parse_args()
    Path(given.folder).mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    if given.rival in IMPORTS:
        importlib.import_module(IMPORTS[given.rival])
    started = time.process_time()
    score = RIVALS[given.rival](given)
    print(json.dumps({"score": score, "own": time.process_time() - started}))


if __name__ == "__main__":
    main()
