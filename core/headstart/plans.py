"""Plans: the keys of a recipe's own sections, `split` and `train`, with types, ranges and help out of the dataclasses."""

from __future__ import annotations

import re
import typing
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

import griffe

from headstart.options import Option, model_of, strict
from headstart.recipe import SplitPlan, TrainPlan

if TYPE_CHECKING:
    from pydantic import BaseModel

PLANS: dict[str, type[Any]] = {"split": SplitPlan, "train": TrainPlan}
DEVICE = re.compile(r"auto|cpu|mps|xpu|cuda(:\d+)?")
LARGEST_BATCH = 1_000_000  # a larger number is a slip of the hand
MOST_VIEWS = 10_000
LARGEST_SEED = 2**32 - 1  # what NumPy's and scikit-learn's generators take


@lru_cache
def plan_options(section: str) -> tuple[Option, ...]:
    """The keys of `split` or `train`, as if it were a part."""
    plan = PLANS[section]
    hints, helps = typing.get_type_hints(plan), _helps(plan)
    return tuple(
        Option(entry.name, str(entry.type), hints[entry.name], entry.default, help=helps.get(entry.name, ""))
        for entry in fields(plan)
    )


@lru_cache
def plan_model(section: str) -> type[BaseModel]:
    """The pydantic model of `split` or `train`."""
    return model_of(section, plan_options(section), _split_ranges() if section == "split" else _train_ranges())


def _helps(plan: type) -> dict[str, str]:
    sections = griffe.parse_google(griffe.Docstring(plan.__doc__ or ""), warnings=False)
    return {
        entry.name: " ".join(entry.description.split())
        for section in sections
        if section.kind is griffe.DocstringSectionKind.attributes
        for entry in section.value
    }


def _split_ranges() -> dict[str, Any]:
    from pydantic import AfterValidator, Field

    amount: Any = strict(float | int)
    return {
        "test": Annotated[amount, AfterValidator(_amount)],
        "val": Annotated[amount, AfterValidator(_amount)],
        "train": Annotated[amount, AfterValidator(_some)] | None,
        "folds": Annotated[strict(int), AfterValidator(_folds)],
        "seed": Annotated[strict(int), Field(ge=0, le=LARGEST_SEED)],
    }


def _train_ranges() -> dict[str, Any]:
    from pydantic import AfterValidator, Field

    positive: Any = Annotated[strict(int), Field(ge=1, le=LARGEST_BATCH)]
    return {
        "seed": Annotated[strict(int), Field(ge=0, le=LARGEST_SEED)],
        "batch_size": positive,
        "micro_batch": positive | None,
        "clip": Annotated[strict(float), Field(ge=0)],
        "device": Annotated[strict(str), AfterValidator(_device)],
        "views": Annotated[strict(int), Field(ge=0, le=MOST_VIEWS)],
        "workers": Annotated[strict(int), Field(ge=0, le=64)] | None,
        "checkpoint": Annotated[strict(int), Field(ge=0)] | None,
        "ema": Annotated[strict(float), Field(ge=0, lt=1)],
        "mix_alpha": Annotated[strict(float), Field(gt=0)] | None,
    }


# What pydantic shows of these is the text after "Value error, ".


def _amount(value: float) -> float:
    if value < 0 or (isinstance(value, float) and value >= 1):
        raise ValueError("must be a share from 0 up to (not with) 1, or a whole number of examples")
    return value


def _some(value: float) -> float:
    if value == 0:
        raise ValueError("must be more than nothing; leave it out to train on all that is left")
    return _amount(value)


def _folds(value: int) -> int:
    if value < 0 or value == 1:
        raise ValueError("must be 0 (one split) or at least 2 (cross-validation)")
    return value


def _device(value: str) -> str:
    if not DEVICE.fullmatch(value):
        raise ValueError("must be auto, cpu, cuda, cuda:0 ..., mps or xpu")
    return value
