"""Running: every check of a case, each to its verdict."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from headstart.testing.cases import Case
from headstart.testing.verdict import ContractError, NotApplicableError, Outcome, Result, UnbuildableError

BUILDS = "can_be_built"  # the check that tells of a part that cannot be built
Check = Callable[[Any], None]
MODULES: Mapping[str, tuple[str, ...]] = {
    "plugin": ("plugin_checks",),
    "backbone": ("backbone_stages", "backbone_features", "backbone_use"),
    "head": ("head_learning", "head_answers"),
    "strategy": ("strategy_checks",),
    "data": ("data_checks",),
}


def checks_for(kind: str) -> tuple[Check, ...]:
    """The checks of one kind: "backbone", "head", "strategy", "data" or "plugin"; imports torch for all but the last."""
    modules = (import_module(f"headstart.testing.{name}") for name in MODULES[kind])
    return tuple(check for module in modules for check in module.CHECKS)


def run_check(case: Case, check: Check) -> Result:
    """One check of one case; whatever it raises becomes a result, and the global random numbers are as before."""
    started = time.perf_counter()
    outcome, message = _judged(case, check)
    return Result(case.name, case.kind, check.__name__, outcome, message, round(time.perf_counter() - started, 3))


def run_case(case: Case) -> Iterator[Result]:
    """Every check of a case, in order; the kind's first questions first."""
    for check in checks_for(case.kind):
        yield run_check(case, check)


def _judged(case: Case, check: Check) -> tuple[Outcome, str]:
    outcome, message = _tried(case, check)
    reason = case.known.get(check.__name__)
    if reason is None:
        return outcome, message
    if len(reason.split()) < 3:
        return "failed", f"its known failure has the reason '{reason}'; write a whole sentence that says why and until when"
    if outcome == "failed":
        return "known", reason
    return "failed", f"it is known to fail ({reason}), but it is {outcome}; take it out of the case's `known`"


def _tried(case: Case, check: Check) -> tuple[Outcome, str]:
    if case.exempt:
        return "skipped", case.exempt
    try:
        with _own_random_numbers():
            check(case)
    except NotApplicableError as why:
        return "skipped", str(why)
    except UnbuildableError as error:
        return ("failed", str(error)) if check.__name__ == BUILDS else ("skipped", f"it cannot be built: see {BUILDS}")
    except ContractError as error:
        return "failed", str(error)
    except Exception as error:
        return "failed", f"the check stopped at {type(error).__name__}: {error}. {(check.__doc__ or '').strip()}"
    return "passed", ""


@contextmanager
def _own_random_numbers() -> Iterator[None]:
    """Global generators as they were, whatever a check seeds."""
    import numpy as np
    import torch

    before = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
