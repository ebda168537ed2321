"""The recipe: one document that names data, backbone, head and strategy, as plain frozen data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from headstart.lock_section import Lock
    from headstart.run import Run


@dataclass(frozen=True)
class Part:
    """One part of a recipe: its registered name (`use`) and its options, checked against the part's own signature."""

    use: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SplitPlan:
    """How examples are divided.

    Attributes:
        by: "auto" = the given split where every example has one, else by group where there are groups, else stratified.
        test: Share in (0, 1) or number of examples held out for the test; 0 = none.
        val: Share or number for validation (selection, early stopping), taken from what is left for training.
        train: Share or number kept for training; None = all that is left. Few labels are where transfer pays.
        folds: 0 = one split; k >= 2 = k-fold cross-validation, every example is tested once.
        seed: Of the division alone, so that runs with other training seeds share it.
        leaks: What happens to examples of one group, or (near-)identical ones, in two splits: "error" stops, "move" puts
            them all into the split with the most of them (training first), "drop" takes them out of every split but the
            last, so that the test stays whole, "keep" leaves them where they are, to measure what they do to the score.
        near: Also look for near-duplicates, not only identical inputs.
    """

    by: Literal["auto", "given", "random", "stratified", "group", "time"] = "auto"
    test: float | int = 0.2
    val: float | int = 0.1
    train: float | int | None = None
    folds: int = 0
    seed: int = 0
    leaks: Literal["error", "move", "drop", "keep"] = "error"
    near: bool = True


@dataclass(frozen=True)
class TrainPlan:
    """How training runs, whatever the strategy.

    Attributes:
        seed: Of head initialisation, order, dropout and augmentation.
        batch_size: Examples per optimiser step.
        micro_batch: Examples per forward pass; smaller ones are accumulated to `batch_size`. None = batch_size.
        clip: Largest norm of the gradient; 0 = no clipping.
        device: "auto" = cuda where there is one, else cpu.
        precision: "auto" = bf16 where the hardware computes it natively, else float32.
        store: Where values of frozen stages, computed once, are kept: "auto" = as the cost rule decides, phase by phase;
            "memory" = for this run; "disk" = for later runs as well; "off" = recomputed each epoch.
        views: Augmented training views per example that are computed once, kept, and cycled over the epochs; 0 = a new view
            each epoch, always computed live. Without augmentation there is one view.
        compact: Keep stored values as float16: half the size, relative error about 3e-4.
        compile: "auto" = frozen stages are compiled where the work that is left repays the compilation; "off" = never.
        workers: Threads that read and decode beside the computation; null = as many as there are cores, at most 8; 0 = none.
        keep: "best" = the weights of the epoch with the best selecting score on validation, over all phases; "last" = those
            of the last epoch, better where validation is so small that the best epoch is best by luck.
        ema: Decay per step of an exponential moving average of what trains, which validation, the test and the run then use
            in place of the last weights, in [0, 1); 0 = none. It rises to this over the first steps of a phase, and the next
            phase goes on from the average.
        mix: Mixed training examples: "mixup" (Zhang et al. 2018) or "cutmix" (Yun et al. 2019); pictures and volumes only,
            computed live.
        mix_alpha: Of the beta distribution of the mixing share, > 0; null = 0.2 for mixup, 1 for cutmix.
        checkpoint: Optimiser steps between two checkpoints, from which `headstart run --resume` goes on; there is one at the
            end of each phase as well. null = as often as costs no more than 2 % of the time, every 10 seconds at most, and
            none where there is less than a second to lose; 0 = never, and a run that is stopped begins anew.
        exact: One example per forward pass of frozen stages, neither folded nor compiled, so that stored and live values are
            equal to the bit.
    """

    seed: int = 0
    batch_size: int = 16
    micro_batch: int | None = None
    clip: float = 1.0
    device: str = "auto"
    precision: Literal["auto", "float32", "bf16"] = "auto"
    store: Literal["auto", "memory", "disk", "off"] = "auto"
    views: int = 0
    compact: bool = False
    compile: Literal["auto", "off"] = "auto"
    workers: int | None = None
    keep: Literal["best", "last"] = "best"
    ema: float = 0.0
    mix: Literal["none", "mixup", "cutmix"] = "none"
    mix_alpha: float | None = None
    checkpoint: int | None = None
    exact: bool = False


@dataclass(frozen=True)
class Recipe:
    """Names one of each part, with options. Data only: no expressions, no import paths.

    Attributes:
        evaluation: Measures beyond the head's own scores; None = what the data part prescribes, with its defaults.
        baselines: "auto" = the plain methods that fit the data (majority class; TF-IDF or histogram + logistic regression);
            "scratch" = these, and the same network trained from random weights with the same amount of computation; "none".
        file: Where it was read from; None = made in Python.
        overrides: What `--set` changed, as given.
        parent: A finished run whose saved model training begins from (key `from`, option `--from`); None = the backbone's
            own weights, and a new head.
        lock: Of a lock file: what the run that it repeats was made from, to compare before training; None = nothing.
    """

    data: Part
    backbone: Part
    head: Part = Part("linear")
    strategy: Part = Part("probe")
    name: str = "run"
    split: SplitPlan = SplitPlan()
    train: TrainPlan = TrainPlan()
    evaluation: Part | None = None
    baselines: Literal["auto", "scratch", "none"] = "auto"
    file: Path | None = None
    overrides: tuple[str, ...] = ()
    parent: str | None = None
    lock: Lock | None = None

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """Read and check a recipe file; `overrides` are "train.seed=3" and the like.

        Raises:
            RecipeError: Every fault of the file at once, each with its line and column.
        """
        from headstart.recipe_file import load_recipe

        return load_recipe(Path(path), overrides)

    def run(self, out: str | Path | None = None) -> Run:
        """Train, evaluate and report; returns the finished run, a folder under `out` (default `runs/`)."""
        from headstart.fit import fit

        return fit(self, Path(out) if out else Path("runs"))
