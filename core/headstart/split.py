"""Splits: who trains, who selects, who tests; given, stratified, by group or by time, and folds. A function of the seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.errors import DataError
from headstart.example import Example, Target
from headstart.grouping import bundled, group_pieces, groups_of, whole_groups
from headstart.quotas import quotas_of
from headstart.recipe import SplitPlan
from headstart.sound import refuse_targets

SPLITS = ("train", "val", "test")
WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class Split:
    """Indices into the examples, ascending, none in two splits; unlabelled examples are in none.

    Attributes:
        how: One phrase for the report: what decided.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    how: str

    def parts(self) -> dict[str, tuple[int, ...]]:
        """The three by name, in the order train, val, test."""
        return {"train": self.train, "val": self.val, "test": self.test}


def make_splits(examples: Sequence[Example], plan: SplitPlan, target: Target) -> list[Split]:
    """One split, or one for each of `plan.folds`; the same for the same examples and `plan.seed`.

    Shares are of the labelled examples that are divided: of all, or of the given training examples where a part is made of
    those.

    Raises:
        DataError: A number that is not finite, too few examples of a label, one label only, sizes that do not fit, or a part
            that ends empty.
    """
    refuse_targets(examples, target)
    labelled = [index for index, example in enumerate(examples) if example.target is not None]
    _check_plan(plan)
    _check_labels(examples, labelled, target)
    if plan.folds:
        splits = _folds(_Pool(examples, labelled, plan, target))
    elif _rule(examples, labelled, plan) == "given":
        splits = [_given(examples, labelled, plan, target)]
    else:
        splits = [_divide(_Pool(examples, labelled, plan, target))]
    for split in splits:
        _check_split(split, examples, plan, target)
    return splits


def given_split(example: Example) -> str | None:
    """The split that the data give this example, in the core's word.

    Raises:
        DataError: The word is not known.
    """
    word = example.meta.get("split")
    if word is None:
        return None
    known = WORDS.get(str(word).strip().lower())
    if known is None:
        raise DataError(f"example '{example.id}' has the split '{word}'; known words: {', '.join(WORDS)}")
    return known


def _rule(examples: Sequence[Example], labelled: Sequence[int], plan: SplitPlan) -> str:
    """What `by: auto` means for these examples."""
    if plan.by != "auto":
        return plan.by
    if labelled and all(given_split(examples[i]) for i in labelled):
        return "given"
    return "group" if any(examples[i].group for i in labelled) else "stratified"


class _Pool:
    """Examples that are divided, and the rule by which parts are taken out of them."""

    def __init__(self, examples: Sequence[Example], indices: Sequence[int], plan: SplitPlan, target: Target) -> None:
        self.examples, self.plan, self.target = examples, plan, target
        self.indices = list(indices)
        self.total = len(self.indices)
        self.rule = _rule(examples, indices, plan)
        if self.rule == "given":
            self.rule = "group" if any(examples[i].group for i in indices) else "stratified"
        if self.rule == "group" and not any(examples[i].group for i in self.indices):
            raise DataError("split.by is 'group' but no example has a group; name its column with `group: COLUMN` in data")
        self.strata = _strata(examples, self.indices, target)
        if self.rule == "time":
            self.indices.sort(key=_times(examples, self.indices).__getitem__)

    def take(self, name: str, size: float, *, reserve: int) -> list[int]:
        """Take a part of `size` (share or number) out; at least `reserve` of each label stay where that can be."""
        wanted = count_of(size, self.total)
        if wanted == 0:
            return []
        if wanted >= len(self.indices):
            raise DataError(f"split.{name}: {size} is {wanted} of {len(self.indices)} examples, so none is left for training")
        rng = np.random.default_rng([self.plan.seed, SPLITS.index(name)])
        taken = self._choose(wanted, rng, reserve)
        chosen = set(taken)
        self.indices = [index for index in self.indices if index not in chosen]
        return taken

    def limit(self, size: float) -> list[int]:
        """Keep a part for training; each label with its share."""
        wanted = count_of(size, self.total)
        if isinstance(size, int) and wanted > len(self.indices):
            raise DataError(f"split.train: {wanted} asked for, {len(self.indices)} examples are left for training")
        rng = np.random.default_rng([self.plan.seed, SPLITS.index("train")])
        return self._by_strata(min(wanted, len(self.indices)), rng, reserve=0)

    def _choose(self, wanted: int, rng: np.random.Generator, reserve: int) -> list[int]:
        if self.rule == "time":
            return self.indices[-wanted:]
        if self.rule == "group":
            return whole_groups(self.examples, self.indices, self.strata, wanted, int(rng.integers(2**31)))
        if self.rule == "random":
            return [int(index) for index in rng.permutation(self.indices)[:wanted]]
        return self._by_strata(wanted, rng, reserve)

    def _by_strata(self, wanted: int, rng: np.random.Generator, reserve: int) -> list[int]:
        members: dict[Hashable, list[int]] = {}
        for index in sorted(self.indices):
            members.setdefault(self.strata[index], []).append(index)
        quotas = quotas_of([len(rows) for rows in members.values()], wanted, reserve)
        return [int(i) for rows, quota in zip(members.values(), quotas, strict=True) for i in rng.permutation(rows)[:quota]]


def count_of(size: float, total: int) -> int:
    """A share in (0, 1) of `total`, rounded and at least one, or a number as it is."""
    return max(1, round(size * total)) if 0 < size < 1 else int(size)


def _strata(examples: Sequence[Example], indices: Sequence[int], target: Target) -> dict[int, Hashable]:
    """What is kept in proportion: the label, the set of labels where it is frequent, the tenth of the range of numbers."""
    if target.kind == "number":
        order = sorted(indices, key=lambda i: (examples[i].target, i))
        return {index: rank * 10 // len(order) for rank, index in enumerate(order)}
    if target.kind == "labels":
        counts = Counter(examples[i].target for i in indices)
        return {i: examples[i].target if counts[examples[i].target] >= 10 else "rare" for i in indices}
    return {i: examples[i].target if target.kind == "class" else "all" for i in indices}


def _times(examples: Sequence[Example], indices: Sequence[int]) -> dict[int, tuple[Any, int]]:
    values = {i: examples[i].meta.get("time") for i in indices}
    absent = [examples[i].id for i in indices if values[i] in (None, "")]
    if absent:
        raise DataError(
            f"split.by is 'time' but {len(absent)} examples have none, the first is '{absent[0]}'; name `time: COLUMN`"
        )
    try:
        return {i: (float(str(value)), i) for i, value in values.items()}
    except ValueError:
        return {i: (str(value), i) for i, value in values.items()}


def _divide(pool: _Pool) -> Split:
    plan = pool.plan
    _check_shares(plan)
    _check_counts(pool, 1 + bool(plan.val) + bool(plan.test))
    test = pool.take("test", plan.test, reserve=1 + bool(plan.val))
    val = pool.take("val", plan.val, reserve=1)
    return _made(pool, val, test, f"{pool.rule}, seed {plan.seed}" if pool.rule != "time" else "time: the latest test")


def _made(pool: _Pool, val: Sequence[int], test: Sequence[int], how: str) -> Split:
    train = pool.indices if pool.plan.train is None else pool.limit(pool.plan.train)
    limited = "" if pool.plan.train is None else f"; {len(train)} of {len(pool.indices)} kept for training"
    return Split(_sorted(train), _sorted(val), _sorted(test), how + limited)


def _sorted(indices: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(indices))


def _given(examples: Sequence[Example], labelled: Sequence[int], plan: SplitPlan, target: Target) -> Split:
    parts: dict[str, list[int]] = {name: [] for name in SPLITS}
    for index in labelled:
        name = given_split(examples[index])
        if name is None:
            raise DataError(
                f"split.by is 'given' but example '{examples[index].id}' has no split; fill the column or use by: auto"
            )
        parts[name].append(index)
    if not parts["train"]:
        raise DataError("the given split has no training examples; name them with 'train' in the split column")
    pool = _Pool(examples, parts["train"], plan, target)
    wanted = {name: size for name, size in (("test", plan.test), ("val", plan.val)) if size and not parts[name]}
    for number, (name, size) in enumerate(wanted.items()):
        parts[name] = pool.take(name, size, reserve=len(wanted) - number)
    made = f"; {' and '.join(wanted)} made from train, {pool.rule}, seed {plan.seed}" if wanted else ""
    return _made(pool, parts["val"], parts["test"], "as given" + made)


def _folds(pool: _Pool) -> list[Split]:
    plan = pool.plan
    if pool.rule == "time" or (plan.by in ("auto", "given") and _rule(pool.examples, pool.indices, plan) == "given"):
        found = "a split by time" if pool.rule == "time" else "a given split"
        raise DataError(f"split.folds: {plan.folds} and {found} exclude each other; set folds: 0, or by: stratified")
    _check_counts(pool, plan.folds if not plan.val else max(plan.folds, 3))
    folds: list[Split] = []
    for number, test in enumerate(_test_folds(pool)):
        chosen = set(test)
        rest = _Pool(pool.examples, [i for i in pool.indices if i not in chosen], plan, pool.target)
        rest.total = pool.total
        val = rest.take("val", plan.val, reserve=1)
        how = f"fold {number + 1} of {plan.folds}, {pool.rule}, seed {plan.seed}"
        folds.append(_made(rest, val, test, how))
    return folds


def _test_folds(pool: _Pool) -> list[list[int]]:
    from sklearn.model_selection import KFold, StratifiedKFold

    k, seed = pool.plan.folds, pool.plan.seed
    if pool.rule == "group":
        groups = groups_of(pool.examples, pool.indices)
        if len(set(groups)) < k:
            raise DataError(f"split.folds: {k} folds need at least {k} groups, there are {len(set(groups))}")
        return group_pieces(pool.indices, bundled(groups, seed), pool.strata, k, seed)
    if len(pool.indices) < k:
        raise DataError(f"split.folds: {k} folds need at least {k} examples, there are {len(pool.indices)}")
    is_stratified = pool.rule == "stratified" and pool.target.kind == "class"
    dealer = (StratifiedKFold if is_stratified else KFold)(k, shuffle=True, random_state=seed)
    codes: dict[Hashable, int] = {}
    classes = [codes.setdefault(pool.strata[i], len(codes)) for i in pool.indices]
    return [[pool.indices[int(i)] for i in piece] for _, piece in dealer.split(np.zeros(len(classes)), classes)]


def _check_plan(plan: SplitPlan) -> None:
    for name, size in (("test", plan.test), ("val", plan.val), ("train", plan.train)):
        if size is not None and (not np.isfinite(size) or size < 0 or (size > 1 and size != int(size)) or size is True):
            raise DataError(f"split.{name}: {size} is neither a share in (0, 1) nor a number of examples")
    if plan.train == 0:
        raise DataError("split.train: 0 leaves nothing to train on; leave it out to train on all that is left")
    if plan.folds < 0 or plan.folds == 1:
        raise DataError(f"split.folds: {plan.folds} is no cross-validation; 0 = one split, 2 or more = folds")


def _check_shares(plan: SplitPlan) -> None:
    total = sum(size for size in (plan.test, plan.val, plan.train) if size is not None and 0 < size < 1)
    if total > 1 + 1e-9 or (plan.train is None and total >= 1):
        parts = ", ".join(
            f"{name} {size}" for name, size in (("test", plan.test), ("val", plan.val), ("train", plan.train)) if size
        )
        raise DataError(f"the shares of split ({parts}) sum up to {total:g}; they must leave something for training")


def _check_labels(examples: Sequence[Example], labelled: Sequence[int], target: Target) -> None:
    if not labelled:
        raise DataError("no example has a label; name the column with `label: COLUMN`")
    seen = {examples[i].target for i in labelled} if target.kind == "class" else set()
    if len(seen) == 1:
        raise DataError(
            f"all {len(labelled)} examples have the label '{seen.pop()}'; at least two labels are needed to learn from"
        )


def _check_counts(pool: _Pool, needed: int) -> None:
    if pool.target.kind != "class" or pool.rule != "stratified":
        return
    counts = Counter(pool.examples[i].target for i in pool.indices)
    few = {label: count for label, count in counts.items() if count < needed}
    if not few:
        return
    names = "; ".join(
        f"label '{label}' has {count} example{'s' if count > 1 else ''}" for label, count in list(few.items())[:5]
    )
    what = f"{pool.plan.folds} folds" if pool.plan.folds else _words(pool.plan)
    raise DataError(f"{names}; at least {needed} are needed for {what}; add examples, or leave the label out with `where`")


def _words(plan: SplitPlan) -> str:
    names = ["train", *(name for name, size in (("val", plan.val), ("test", plan.test)) if size)]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _check_split(split: Split, examples: Sequence[Example], plan: SplitPlan, target: Target) -> None:
    asked = {"train": True, "val": bool(plan.val), "test": bool(plan.test or plan.folds)}
    empty = [name for name, indices in split.parts().items() if asked[name] and not indices]
    if empty:
        raise DataError(
            f"the {' and the '.join(empty)} split is empty ({split.how}); change the sizes in split, or add examples"
        )
    if target.kind != "class":
        return
    known = {examples[i].target for i in split.train}
    unseen = sorted({str(examples[i].target) for i in (*split.val, *split.test)} - {str(label) for label in known})
    if unseen:
        raise DataError(
            f"no training example has the label '{unseen[0]}', which val or test has ({split.how}); "
            f"it cannot be learnt: add examples, change split.by or leave the label out with `where`"
        )
