"""Checks of what a backbone gives: the ports that it declares, with their widths, and nothing that was not asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.options import read_statically
from headstart.plugins import registry
from headstart.source import UnreadableError
from headstart.testing.bench import built, copied_backbone, seed_for, smallest_inputs
from headstart.testing.cases import BackboneCase
from headstart.testing.guards import fingerprint, kept_random_state
from headstart.testing.verdict import ContractError, NotApplicableError, demand


def ports_are_those_declared(case: BackboneCase) -> None:
    """`forward` gives exactly the ports of `ports`, all of them named in the class attribute `port_names`."""
    backbone, features = built(case).backbone, built(case).features
    given, said, named = set(features), set(backbone.ports), set(type(backbone).port_names)
    demand(
        given == said,
        f"`forward` gives {_list(given)}, but `ports` says {_list(said)}",
        "let `self.ports` name what `forward` returns, with the channels of each",
    )
    demand(said <= named, f"`ports` has {_list(said - named)}, which `port_names` has not", "add them to the class attribute")
    demand(bool(backbone.modality), "`modality` is empty", 'set the class attribute: modality = "text"')


def ports_have_the_widths_declared(case: BackboneCase) -> None:
    """A port has as many channels as `ports` says: last in a vector or a list of tokens, second in a map."""
    for port, width in built(case).backbone.ports.items():
        tensor = built(case).features[port]
        if not tensor.is_floating_point():
            continue  # masks, offsets and the like: what they hold is between backbone and head
        channels = tensor.shape[1] if port.startswith(("map", "aux")) and tensor.ndim > 2 else tensor.shape[-1]
        demand(
            channels == width,
            f"port '{port}' has {channels} channels (shape {list(tensor.shape)}), but `ports` says {width}",
            f"declare {{'{port}': {channels}}}, or give what is declared",
        )


def ports_have_one_row_per_example(case: BackboneCase) -> None:
    """Every port is batch first: one row per example."""
    count = len(built(case).inputs)
    for port, tensor in built(case).features.items():
        demand(isinstance(tensor, Tensor), f"port '{port}' is a {type(tensor).__name__}", "return tensors by port")
        rows = tensor.shape[0] if tensor.ndim else 0
        demand(rows == count, f"port '{port}' has {rows} rows for {count} examples", "put the batch first")


def features_are_finite(case: BackboneCase) -> None:
    """Features of ordinary inputs are finite floating-point numbers, and differ between different inputs."""
    features = built(case).features
    for port, tensor in features.items():
        if tensor.is_floating_point():
            demand(
                bool(torch.isfinite(tensor).all()),
                f"port '{port}' holds NaN or infinity for ordinary inputs",
                "look for divisions by a length or spread of zero",
            )
    floats = {port: tensor for port, tensor in features.items() if tensor.is_floating_point()}
    demand(bool(floats), "no port holds floating-point numbers", "give at least one port that a head can learn from")
    if len(built(case).inputs) > 1:
        is_constant = all(tensor.shape[0] > 1 and torch.equal(tensor[0], tensor[1]) for tensor in floats.values())
        demand(not is_constant, "different inputs give the same features", "check that `prepare` passes the contents on")


def the_smallest_inputs_are_taken_or_refused_in_words(case: BackboneCase) -> None:
    """The smallest input works, or ends in an error of `headstart.errors` that says what is too small."""
    backbone = built(case).backbone
    for input in smallest_inputs(case):
        try:
            with torch.no_grad():
                features = backbone(backbone.prepare([input]))
        except HeadstartError:
            continue
        except Exception as error:
            raise ContractError(
                f"the small input {_short(input)} ends in {type(error).__name__}: {error}",
                "pad it, or raise headstart.errors.DataError that says how large an input has to be",
            ) from error
        finite = all(bool(torch.isfinite(tensor).all()) for tensor in features.values() if tensor.is_floating_point())
        demand(finite, f"the small input {_short(input)} gives NaN", "look for divisions by a length or spread of zero")


def forward_is_deterministic(case: BackboneCase) -> None:
    """In evaluation mode the same batch gives the same bits, draws no random numbers and is not changed."""
    backbone, batch = built(case).backbone, built(case).batch
    before = {name: fingerprint(tensor) for name, tensor in batch.items()}
    mend = "leave random numbers to dropout in training mode"
    with seed_for(), torch.no_grad(), kept_random_state("`forward` in evaluation mode", mend):
        again = backbone(batch)
    changed = [name for name, tensor in batch.items() if fingerprint(tensor) != before[name]]
    demand(not changed, f"`forward` changes the batch's {', '.join(changed)} in place", "write `x = x - m`, not `x -= m`")
    unequal = [port for port, tensor in built(case).features.items() if not torch.equal(again[port], tensor)]
    demand(not unequal, f"the same batch gives another {', '.join(unequal)} the second time", mend)


def only_wanted_ports_are_made(case: BackboneCase) -> None:
    """After `want`, what was asked for is as before, and ports for auxiliary classifiers are not made for prediction."""
    backbone = copied_backbone(case)
    wanted = next(port for port, tensor in built(case).features.items() if tensor.is_floating_point())
    backbone.want((wanted,))
    with torch.no_grad():
        features = backbone(built(case).batch)
    demand(wanted in features, f"after want(('{wanted}',)) the port is missing", "`want` may drop other ports only")
    demand(
        torch.equal(features[wanted], built(case).features[wanted]),
        f"port '{wanted}' is another when only it is wanted",
        "`want` may only leave work out",
    )
    spare = [port for port in features if port != wanted and backbone.auxiliary(port) is not None]
    demand(
        not spare,
        f"{', '.join(spare)} feed auxiliary classifiers and are made although nobody wants them",
        "give ports of auxiliary classifiers only where `want` named them: they are for training",
    )


def auxiliary_classifiers_fit_their_ports(case: BackboneCase) -> None:
    """`auxiliary` gives a new module each time, from its port's map to vectors of the width that it says."""
    backbone, features = built(case).backbone, built(case).features
    found = {port: pair for port in backbone.ports if (pair := backbone.auxiliary(port)) is not None}
    if not found:
        raise NotApplicableError("the network has no auxiliary classifiers")
    for port, (module, width) in found.items():
        again = backbone.auxiliary(port)
        demand(again is not None and again[0] is not module, f"auxiliary('{port}') gives one module twice", "make it anew")
        with torch.no_grad():
            shape = list(module.eval()(features[port]).shape)
        expected = [len(built(case).inputs), width]
        demand(shape == expected, f"auxiliary('{port}') gives {shape}, not {expected}", "return the width that it ends in")


def fits_are_known_without_import(case: BackboneCase) -> None:
    """`modality` and `port_names` are literals in the class, so that recipes are checked without loading anything."""
    if not isinstance(case.use, str):
        raise NotApplicableError("the class is not registered")
    try:
        attributes = read_statically(registry().find("backbone", case.use)).attributes
    except UnreadableError as error:
        raise ContractError(f"the source cannot be read: {error}", "write attributes and defaults as plain literals") from error
    missing = [name for name in ("modality", "port_names") if name not in attributes]
    demand(not missing, f"{' and '.join(missing)} cannot be read from the source", "set them to literals in the class body")


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _short(value: object) -> str:
    text = f"of shape {list(value.shape)}" if hasattr(value, "shape") else repr(value)
    return text[:60]


CHECKS = (
    ports_are_those_declared,
    ports_have_one_row_per_example,
    ports_have_the_widths_declared,
    fits_are_known_without_import,
    features_are_finite,
    the_smallest_inputs_are_taken_or_refused_in_words,
    forward_is_deterministic,
    only_wanted_ports_are_made,
    auxiliary_classifiers_fit_their_ports,
)
