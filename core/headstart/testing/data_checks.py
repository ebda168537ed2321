"""Checks of a data part: examples that stay the same, one way in for new inputs, and views that are functions of a seed."""

from __future__ import annotations

import json
import pickle
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data import Data
from headstart.errors import HeadstartError
from headstart.example import Target
from headstart.options import describe
from headstart.plugins import registry
from headstart.testing.bench import class_of, new_backbone
from headstart.testing.cases import BackboneCase, DataCase
from headstart.testing.collecting import cases_of
from headstart.testing.guards import fingerprint, kept_random_state, seed_all, without_network
from headstart.testing.options_asked import bad_options_are_refused
from headstart.testing.verdict import ContractError, NotApplicableError, UnbuildableError, demand

FEW = 5  # examples whose inputs are read


@dataclass(frozen=True)
class Bench:
    """A data part on small files that lie as long as the bench."""

    folder: Path
    options: dict[str, Any]
    data: Data
    asked: tuple[str, ...]
    held: Any


@lru_cache(maxsize=1)
def bench_of(case: DataCase) -> Bench:
    """The part, with its files in a folder of its own.

    Raises:
        ContractError: It cannot be built or read.
    """
    held = tempfile.TemporaryDirectory(prefix="headstart-kit-")
    folder = Path(held.name)
    options = dict(case.options(folder) if callable(case.options) else case.options)
    with without_network() as asked:
        try:
            data = class_of(case)(**options)
            data.examples()
        except ContractError:
            raise
        except Exception as error:
            raise UnbuildableError(
                f"{case.name} cannot be read: {type(error).__name__}: {error}",
                "give the case options that read small files: a function of a folder that writes them",
            ) from error
    return Bench(folder, options, data, tuple(asked), held)


def can_be_built(case: DataCase) -> None:
    """The class builds with the case's options and reads its examples."""
    data = bench_of(case).data
    demand(isinstance(data, Data), f"it is a {type(data).__name__}", "subclass headstart.Data")


def works_without_the_network(case: DataCase) -> None:
    """Files that are there are read without asking any address for anything."""
    asked = bench_of(case).asked
    demand(not asked, f"reading asked the network for {', '.join(asked)}", "read what the options name; fetch by a command")


def target_is_one_of_its_kinds(case: DataCase) -> None:
    """`target` is of a kind that `target_kinds` names, and holds the labels that occur, each once."""
    data = bench_of(case).data
    target = data.target
    demand(isinstance(target, Target), f"`target` is a {type(target).__name__}", "return headstart.Target")
    named = type(data).target_kinds
    demand(target.kind in named, f"the target's kind is '{target.kind}', `target_kinds` has {named}", "add it there")
    demand(len(set(target.labels)) == len(target.labels), f"labels occur twice: {target.labels}", "list each label once")
    demand(bool(type(data).modality), "`modality` is empty", 'set the class attribute: modality = "text"')


def building_reads_nothing(case: DataCase) -> None:
    """Building is cheap and reads no file, so that a loaded run can make the part where the training data is gone."""
    bench = bench_of(case)
    gone = {name: _moved(value, bench.folder) for name, value in bench.options.items()}
    if gone == bench.options:
        raise NotApplicableError("no option names a file of the case's folder")
    try:
        data = class_of(case)(**gone)
    except Exception as error:
        raise ContractError(
            f"it cannot be built where its files are gone: {type(error).__name__}: {error}", "read in `examples` and `target`"
        ) from error
    try:
        data.examples()
    except HeadstartError as error:
        demand(len(str(error).split()) > 3, f"a missing file is refused with '{error}'", "name the file and what to do")
    except Exception as error:
        raise ContractError(
            f"a missing file ends in {type(error).__name__}: {error}", "raise headstart.errors.DataError that names the file"
        ) from error
    else:
        raise ContractError("a missing file is no error", "raise headstart.errors.DataError that names the file")


def _moved(value: Any, folder: Path) -> Any:
    if isinstance(value, str) and value.startswith(str(folder)):
        return value.replace(str(folder), str(folder / "gone"), 1)
    return value


def examples_are_the_same_each_time(case: DataCase) -> None:
    """Asked twice, or built anew, it gives the same examples in the same order, whatever the random numbers."""
    bench = bench_of(case)
    seed_all(11)
    again = class_of(case)(**bench.options).examples()
    first = bench.data.examples()
    demand(
        [(e.id, repr(e.target), e.group) for e in first] == [(e.id, repr(e.target), e.group) for e in again],
        "built anew it gives other examples, or another order",
        "sort what the file system lists, and draw no random numbers",
    )
    same = all(fingerprint(a.input) == fingerprint(b.input) for a, b in zip(first[:FEW], again[:FEW], strict=True))
    demand(same, "built anew its inputs differ", "read them as they are, and augment in `augment`")


def ids_are_unique_and_stable(case: DataCase) -> None:
    """Every example has an id of its own, a text: order, seeds, stores and predictions hang on it."""
    ids = [example.id for example in bench_of(case).data.examples()]
    demand(bool(ids), "there are no examples", "give the case files with a few")
    demand(all(isinstance(each, str) and each for each in ids), "an id is no text", "use a name out of the source")
    twice = sorted({each for each in ids if ids.count(each) > 1})
    demand(not twice, f"ids stand twice: {', '.join(twice[:3])}", "join what makes a row unique: file and row, or path")


def targets_are_those_of_the_target(case: DataCase) -> None:
    """Every target is a label of `target.labels`, a tuple of them, or a finite number; None = unlabelled."""
    data = bench_of(case).data
    target = data.target
    for example in data.examples():
        value = example.target
        if value is None:
            continue
        if target.kind == "class":
            demand(value in target.labels, f"example '{example.id}' has the target {value!r}", "list it in `target.labels`")
        elif target.kind == "labels":
            demand(set(value) <= set(target.labels), f"example '{example.id}' has {value!r}", "list them in `target.labels`")
        elif target.kind == "number":
            is_number = isinstance(value, (int, float)) and bool(np.isfinite(value))
            demand(is_number, f"example '{example.id}' has the target {value!r}", "leave rows without a number out")


def given_splits_and_groups_are_plain(case: DataCase) -> None:
    """A given split is train, val or test, and a group is a text, on every example or on none."""
    examples = bench_of(case).data.examples()
    splits = {example.meta.get("split") for example in examples} - {None}
    demand(splits <= {"train", "val", "test"}, f"given splits are {splits}", "translate them to train, val and test")
    odd = {repr(example.group) for example in examples if not isinstance(example.group, (str, type(None)))}
    demand(not odd, f"groups are {', '.join(sorted(odd)[:3])}", "turn groups into texts")


def views_are_a_function_of_their_seed(case: DataCase) -> None:
    """`augment` gives the same view for the same generator, draws from it alone and leaves the input as it is."""
    data = bench_of(case).data
    if not data.augments:
        raise NotApplicableError("it augments nothing")
    for example in data.examples()[:FEW]:
        before = fingerprint(example.input)
        views = []
        for seed in (1, 2):
            seed_all(seed)
            with kept_random_state("`augment`", "draw from `rng` alone"):
                views.append(fingerprint(data.augment(example.input, np.random.default_rng(5))))
        demand(fingerprint(example.input) == before, "`augment` changes its input in place", "work on a copy")
        demand(views[0] == views[1], "`augment` gives another view for the same seed", "draw from `rng` alone")


def new_inputs_are_read_as_examples_are(case: DataCase) -> None:
    """`read` takes one new input and gives what `examples` gives: the same type, and the same each time."""
    bench = bench_of(case)
    if case.source is None:
        raise NotApplicableError("the case has no source")
    source = case.source(bench.folder)
    first, second = bench.data.read(source), bench.data.read(source)
    demand(fingerprint(first) == fingerprint(second), "`read` gives another input the second time", "draw no random numbers")
    known = {type(example.input).__name__ for example in bench.data.examples()[:FEW]}
    demand(
        type(first).__name__ in known,
        f"`read` gives {type(first).__name__}, examples have {known}",
        "use one function for both",
    )


def a_backbone_reads_its_inputs(case: DataCase) -> None:
    """A backbone of any installed plugin that reads this modality prepares the inputs as they are."""
    data = bench_of(case).data
    other = next((each for each in _backbone_cases(case) if _modality(each) == type(data).modality), None)
    if other is None:
        raise NotApplicableError(f"no installed plugin has a quick case of a backbone that reads '{type(data).modality}'")
    inputs = [example.input for example in data.examples()[:2]]
    try:
        batch = new_backbone(other).prepare(inputs)
    except Exception as error:
        raise ContractError(
            f"{other.name} cannot prepare its inputs: {type(error).__name__}: {error}",
            f"give inputs of a form that backbones of the modality '{type(data).modality}' read, or name another modality",
        ) from error
    demand(
        all(len(tensor) == len(inputs) for tensor in batch.values()), "a backbone prepares another number of inputs", "see it"
    )


def _backbone_cases(case: DataCase) -> list[BackboneCase]:
    """Quick cases of all installed plugins, those of the part's own first."""
    found = [each for record in registry().records if not record.error for each in cases_of(record)]
    quick = [each for each in found if isinstance(each, BackboneCase) and not each.slow]
    return sorted(quick, key=lambda each: each.name.partition("/")[0] != case.name.partition("/")[0])


def _modality(case: BackboneCase) -> str:
    """What a registered backbone reads, without importing it."""
    attributes = describe(registry().find("backbone", case.name)).attributes
    return str(attributes.get("modality", ""))


def facts_are_plain(case: DataCase) -> None:
    """`facts` and `pinned` are plain JSON values, and `pinned` names options only."""
    data = bench_of(case).data
    for name, value in (("facts", dict(data.facts())), ("pinned", dict(data.pinned()))):
        try:
            json.dumps(value)
        except TypeError as error:
            raise ContractError(f"`{name}` holds what JSON has not: {error}", "convert to plain values") from error
    excerpt = data.excerpt(data.examples()[0].input)
    demand(excerpt is None or isinstance(excerpt, str), "`excerpt` gives no text", "return a text or None")


def survives_pickling(case: DataCase) -> None:
    """A pickled copy, as workers get it, reads the same examples."""
    data = bench_of(case).data
    try:
        copied = pickle.loads(pickle.dumps(data))  # noqa: S301 - made in this line
    except Exception as error:
        raise ContractError(
            f"it cannot be pickled: {type(error).__name__}: {error}", "hold no open files or lambdas"
        ) from error
    same = [example.id for example in copied.examples()] == [example.id for example in data.examples()]
    demand(same, "a pickled copy gives other examples", "keep all that decides them in the options")


def options_are_refused_in_words(case: DataCase) -> None:
    """Options that cannot be are refused by an error of `headstart.errors`, at the latest when the examples are read."""

    def make(options: Any) -> Any:
        return class_of(case)(**options).examples()

    bad_options_are_refused(case, bench_of(case).options, make)


CHECKS = (
    can_be_built,
    works_without_the_network,
    target_is_one_of_its_kinds,
    building_reads_nothing,
    examples_are_the_same_each_time,
    ids_are_unique_and_stable,
    targets_are_those_of_the_target,
    given_splits_and_groups_are_plain,
    views_are_a_function_of_their_seed,
    new_inputs_are_read_as_examples_are,
    a_backbone_reads_its_inputs,
    facts_are_plain,
    survives_pickling,
    options_are_refused_in_words,
)
