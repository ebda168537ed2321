"""Checks of a backbone in use: preparing, saving, weights, options, and other parts to work with."""

from __future__ import annotations

import pickle
import re
import tempfile
from pathlib import Path

import numpy as np
import torch

from headstart.builtin.heads_neural import Linear
from headstart.builtin.strategies_partial import LastStages
from headstart.errors import HeadstartError
from headstart.model import Model
from headstart.testing.bench import built, class_of, copied_backbone, new_backbone, raw_inputs, seed_for, trained
from headstart.testing.cases import BINARY, BackboneCase
from headstart.testing.guards import fingerprint, kept_random_state, seed_all
from headstart.testing.options_asked import bad_options_are_refused
from headstart.testing.verdict import ContractError, NotApplicableError, demand

NO_CODE = {".pt", ".pth", ".bin", ".pkl", ".pickle", ".joblib", ".py", ".npy"}


def works_without_the_network(case: BackboneCase) -> None:
    """Building and preparing ask no address for anything, not even in vain."""
    asked = built(case).asked
    demand(
        not asked,
        f"building or preparing asked the network for {', '.join(dict.fromkeys(asked))}",
        "read weights from a place that the options name, and raise WeightsError with the line that fetches them",
    )


def prepare_is_a_function_of_its_seeds(case: BackboneCase) -> None:
    """The same inputs and `rngs` give the same batch, whatever the global random numbers, the clock and earlier calls."""
    batches = [_prepared(case, seed) for seed in (1, 2)]
    for train in (False, True):
        first, second = (each[train] for each in batches)
        unequal = [name for name in first if not torch.equal(first[name], second[name])]
        demand(
            set(first) == set(second) and not unequal,
            f"prepare(train={train}) gives another {', '.join(unequal)} for the same inputs and rngs",
            "draw random numbers from `rngs` alone, one generator per example",
        )


def _prepared(case: BackboneCase, seed: int) -> dict[bool, dict[str, torch.Tensor]]:
    backbone, inputs = built(case).backbone, built(case).inputs
    seed_all(seed)
    batches = {}
    for train in (False, True):
        rngs = [np.random.default_rng(at) for at in range(len(inputs))] if train else None
        batches[train] = backbone.prepare(inputs, train=train, rngs=rngs)
    return batches


def prepare_leaves_global_random_numbers_alone(case: BackboneCase) -> None:
    """Preparing draws nothing from torch's, NumPy's or Python's global generators: it runs in threads beside training."""
    backbone, inputs = built(case).backbone, built(case).inputs
    rngs = [np.random.default_rng(at) for at in range(len(inputs))]
    with kept_random_state("`prepare`", "draw from `rngs` alone, one generator per example"):
        backbone.prepare(inputs, train=True, rngs=rngs)


def prepare_leaves_its_inputs_alone(case: BackboneCase) -> None:
    """Raw inputs are the user's and are prepared again in the next epoch: they are not changed."""
    inputs = raw_inputs(case)
    before = [fingerprint(input) for input in inputs]
    built(case).backbone.prepare(inputs, train=True, rngs=[np.random.default_rng(at) for at in range(len(inputs))])
    changed = [at for at, input in enumerate(inputs) if fingerprint(input) != before[at]]
    demand(not changed, f"`prepare` changes its inputs {changed} in place", "work on a copy: np.array(input), not np.asarray")


def prepare_gives_cpu_tensors(case: BackboneCase) -> None:
    """`prepare` gives a dict of CPU tensors, batch first, without gradient; the core moves them."""
    batch = built(case).batch
    demand(isinstance(batch, dict) and bool(batch), f"it gives {type(batch).__name__}", "return a dict of tensors")
    for name, tensor in batch.items():
        demand(isinstance(tensor, torch.Tensor), f"'{name}' is a {type(tensor).__name__}", "return tensors")
        is_plain = tensor.device.type == "cpu" and not tensor.requires_grad
        demand(is_plain, f"'{name}' lies on {tensor.device} or has a gradient", "leave device and gradient to the core")
        rows = tensor.shape[0] if tensor.ndim else 0
        demand(rows == len(built(case).inputs), f"'{name}' has {rows} rows for {len(built(case).inputs)} inputs", "batch first")


def sizes_are_one_per_input(case: BackboneCase) -> None:
    """`sizes` says one cost of at least 1 per input, the same each time; batches are sorted and stores are cut by it."""
    backbone, inputs = built(case).backbone, built(case).inputs
    sizes = backbone.sizes(inputs)
    if sizes is None:
        raise NotApplicableError("all inputs cost the same")
    demand(len(sizes) == len(inputs), f"`sizes` gives {len(sizes)} for {len(inputs)} inputs", "give one number for each")
    demand(all(size >= 1 for size in sizes), f"`sizes` gives {list(sizes)}", "no input costs less than 1")
    again = [backbone.sizes([input]) for input in inputs]
    demand(again == [[size] for size in sizes], f"alone the inputs cost {again}, together {list(sizes)}", "look at each alone")


def saving_and_loading_gives_the_same_features(case: BackboneCase) -> None:
    """A saved network, built again from its folder, gives the same features to the bit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "saved"
        built(case).backbone.save(folder)
        options = type(built(case).backbone).saved_options(folder, case.options)
        try:
            again = class_of(case)(**options).eval()
            with torch.no_grad():
                features = again(again.prepare(built(case).inputs))
        except Exception as error:
            raise ContractError(
                f"it cannot be built from what it saved: {type(error).__name__}: {error}",
                "let `saved_options` return options that read the folder, and `save` write all that they need",
            ) from error
    unequal = [port for port, tensor in built(case).features.items() if not torch.equal(features[port], tensor)]
    demand(not unequal, f"saved and loaded it gives another {', '.join(unequal)}", "save buffers and preparation too")


def saving_writes_no_code(case: BackboneCase) -> None:
    """Saved files are safetensors and plain text: nothing that runs code when it is loaded."""
    with tempfile.TemporaryDirectory() as name:
        built(case).backbone.save(Path(name) / "saved")
        files = [path for path in (Path(name) / "saved").rglob("*") if path.is_file()]
    odd = [path.name for path in files if path.suffix in NO_CODE]
    demand(not odd, f"`save` writes {', '.join(odd)}", "write safetensors and JSON")


def the_card_says_where_weights_come_from(case: BackboneCase) -> None:
    """The card names source and licence, and the SHA-256 of the file of weights where there is one."""
    card = built(case).backbone.card
    demand(bool(card.source), "the card names no source", 'WeightsCard(source="none") for random weights')
    demand(bool(card.licence), "the card names no licence", 'write its SPDX name, or "unknown"')
    is_hash = not card.sha256 or re.fullmatch(r"[0-9a-f]{64}", card.sha256) is not None
    demand(is_hash, f"the card's sha256 is '{card.sha256}'", "give 64 hexadecimal digits, or an empty string")


def building_follows_the_seed(case: BackboneCase) -> None:
    """Built twice from one seed it has the same weights; nothing else decides them."""
    first, second = built(case).backbone.network.state_dict(), new_backbone(case).network.state_dict()
    unequal = [name for name, tensor in first.items() if name not in second or not torch.equal(tensor, second[name])]
    demand(not unequal, f"two builds from one seed differ in {', '.join(unequal[:3])}", "draw weights from torch's generator")


def survives_pickling(case: BackboneCase) -> None:
    """A pickled copy, as other processes get it, prepares the same batch."""
    backbone = built(case).backbone
    try:
        copied = pickle.loads(pickle.dumps(backbone))  # noqa: S301 - made in this line
    except Exception as error:
        raise ContractError(
            f"it cannot be pickled: {type(error).__name__}: {error}",
            "hold no lambdas, open files or locks as attributes; use methods and functools.partial",
        ) from error
    batch = copied.prepare(built(case).inputs)
    unequal = [name for name, tensor in built(case).batch.items() if not torch.equal(batch[name], tensor)]
    demand(not unequal, f"a pickled copy prepares another {', '.join(unequal)}", "keep all that `prepare` reads in the object")


def options_are_refused_in_words(case: BackboneCase) -> None:
    """Options that cannot be are refused by an error of `headstart.errors` that names them."""
    bad_options_are_refused(case, case.options, lambda options: class_of(case)(**options))


def trains_with_the_cores_head_and_strategy(case: BackboneCase) -> None:
    """Under the core's head `linear` and strategy `last-stages` a whole training runs, and its ledger is proven."""
    backbone = copied_backbone(case)
    if "pooled" not in backbone.ports:
        raise NotApplicableError("it gives no port 'pooled', which the core's heads read")
    inputs = built(case).inputs
    doubled = [*inputs, *inputs, *inputs]
    targets = [BINARY.labels[at % 2] for at in range(len(doubled))]
    with seed_for():
        model = Model(backbone, Linear(backbone.ports, BINARY))
    has_stages = any(stage.modules for stage in backbone.stages)
    if not has_stages:
        raise NotApplicableError("it has no stages to train")
    try:
        ledger = trained(model, LastStages(stages=1, epochs=1), doubled, targets, BINARY)
    except HeadstartError as error:
        raise ContractError(f"a training of its last stage fails: {error}", "see the other checks") from error
    demand(bool(ledger.entries[-1]["trainable"]["moved"]), "a training of its last stage moves nothing", "see the other checks")


CHECKS = (
    works_without_the_network,
    prepare_is_a_function_of_its_seeds,
    prepare_leaves_global_random_numbers_alone,
    prepare_leaves_its_inputs_alone,
    prepare_gives_cpu_tensors,
    sizes_are_one_per_input,
    saving_and_loading_gives_the_same_features,
    saving_writes_no_code,
    the_card_says_where_weights_come_from,
    building_follows_the_seed,
    survives_pickling,
    options_are_refused_in_words,
    trains_with_the_cores_head_and_strategy,
)
