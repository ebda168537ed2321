"""The rivals in the contests on texts, in the form in which their own documentation shows the task.

Run by the contest script in the rivals' environment: `python rivals_texts.py RIVAL --data FOLDER --weights FOLDER`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from long_tailed import read_texts
from torch import nn

SEED, BATCH = 0, 16
RATES = {"frozen": 3e-3, "full": 2e-4}
Score = Callable[[argparse.Namespace], float]


class Classifier(nn.Module):
    """An encoder, the mean of its tokens, a linear layer: what ours is."""

    def __init__(self, weights: str, *, is_frozen: bool) -> None:
        super().__init__()
        from transformers import AutoModel

        self.body = AutoModel.from_pretrained(weights, local_files_only=True, dtype=torch.float32, add_pooling_layer=False)
        self.body.requires_grad_(not is_frozen)
        self.is_frozen, self.head = is_frozen, nn.Linear(self.body.config.hidden_size, 2)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor, **_: Any
    ) -> dict[str, torch.Tensor]:
        tokens = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1)
        logits = self.head((tokens * mask).sum(dim=1) / mask.sum(dim=1))
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    def train(self, mode: bool = True) -> Classifier:
        super().train(mode)
        if self.is_frozen:
            self.body.eval()  # no dropout in front of a frozen encoder's features
        return self


def trainer(given: argparse.Namespace, *, way: str, sampling: str) -> float:
    """Hugging Face Trainer: tokenised once, padded to the longest text of each batch, validated after every epoch."""
    from transformers import AutoTokenizer, DataCollatorWithPadding, Trainer, TrainingArguments

    tokenizer = AutoTokenizer.from_pretrained(given.weights, local_files_only=True)

    def rows(name: str) -> list[dict[str, Any]]:
        texts, labels = read_texts(Path(given.data) / f"{name}.csv")
        encoded = tokenizer(texts, truncation=True, max_length=given.tokens)
        return [
            {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": label}
            for ids, label in zip(encoded["input_ids"], labels, strict=True)
        ]

    arguments = TrainingArguments(
        output_dir=given.folder, num_train_epochs=given.epochs, per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=BATCH, learning_rate=RATES[way], weight_decay=0.01, lr_scheduler_type="linear",
        warmup_steps=0.1, train_sampling_strategy=sampling, eval_strategy="epoch", save_strategy="no", report_to=[],
        use_cpu=True, seed=SEED, disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    found = Trainer(
        model=Classifier(given.weights, is_frozen=way == "frozen"), args=arguments, train_dataset=rows("train"),
        eval_dataset=rows("val"), data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(1) == p.label_ids).mean())},
    )  # fmt: skip
    found.train()
    last = [entry["eval_accuracy"] for entry in found.state.log_history if "eval_accuracy" in entry]
    return float(last[-1])


def by_hand(given: argparse.Namespace) -> float:
    """What a careful person writes: sentence-transformers' `encode`, which sorts by length, then scikit-learn."""
    from sentence_transformers import SentenceTransformer
    from sklearn.linear_model import LogisticRegression

    encoder = SentenceTransformer(given.weights, device="cpu", local_files_only=True)
    encoder.max_seq_length = given.tokens
    (texts, labels), (val_texts, val_labels) = (read_texts(Path(given.data) / f"{name}.csv") for name in ("train", "val"))
    features = encoder.encode([*texts, *val_texts], batch_size=32, show_progress_bar=False)
    model = LogisticRegression(max_iter=1000).fit(features[: len(texts)], labels)
    return float(model.score(features[len(texts) :], val_labels))


RIVALS: dict[str, tuple[str, Score]] = {
    "trainer": ("transformers.trainer", partial(trainer, way="frozen", sampling="random")),
    "trainer-grouped": ("transformers.trainer", partial(trainer, way="frozen", sampling="group_by_length")),
    "by-hand": ("sentence_transformers", by_hand),
    "full-trainer": ("transformers.trainer", partial(trainer, way="full", sampling="random")),
    "full-trainer-grouped": ("transformers.trainer", partial(trainer, way="full", sampling="group_by_length")),
}


def main() -> None:
    """Run one rival and print its score and CPU-seconds after its imports."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rival", choices=RIVALS)
    for name in ("--data", "--weights", "--folder"):
        parser.add_argument(name, required=True)
    for name in ("--epochs", "--tokens"):
        parser.add_argument(name, type=int, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    module, run = RIVALS[given.rival]
    for name in (module, "sklearn.linear_model", "transformers.models.bert.modeling_bert"):
        importlib.import_module(name)
    started = time.process_time()
    score = run(given)
    print(json.dumps({"score": score, "own": time.process_time() - started}))


if __name__ == "__main__":
    main()
