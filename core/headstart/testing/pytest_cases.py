"""pytest: one decorator that makes a test of every check of every case."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from headstart.testing.cases import BackboneCase, Case, DataCase, HeadCase, StrategyCase
from headstart.testing.running import Check, checks_for

Test = TypeVar("Test", bound=Callable[..., Any])


def parametrize_with_checks(cases: Iterable[Any]) -> Callable[[Test], Test]:
    """Make a pytest test of each check of each case; the test has the parameters `case` and `check`.

    Args:
        cases: Cases, classes of parts, or `pytest.param(case, marks=...)`.

    Example:
        @parametrize_with_checks([BackboneCase(use="audio/net"), HeadCase(use="audio/head")])
        def test_contract(case, check):
            expect(case, check)
    """
    import pytest

    values = []
    for given in cases:
        inner, marks = (given.values[0], list(given.marks)) if hasattr(given, "marks") else (given, [])
        case = case_for(inner)
        if case.slow:
            marks.append(pytest.mark.slow)
        values += [
            pytest.param(case, check, marks=marks, id=f"{case.name}-{check.__name__}") for check in checks_for(case.kind)
        ]
    decorate: Callable[[Test], Test] = pytest.mark.parametrize(("case", "check"), values)
    return decorate


def expect(case: Case, check: Check) -> None:
    """Run one check and pass, fail, skip or xfail as pytest knows it."""
    import pytest

    from headstart.testing.running import run_check

    result = run_check(case, check)
    if result.outcome == "failed":
        pytest.fail(f"{case.kind} {case.name}: {result.message}", pytrace=False)
    if result.outcome == "skipped":
        pytest.skip(result.message)
    if result.outcome == "known":
        pytest.xfail(result.message)


def case_for(part: Any) -> Case:
    """A case as it is; for a class, a plain case of its kind.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(part, Case):
        return part
    from headstart.backbone import Backbone
    from headstart.data import Data
    from headstart.head import Head
    from headstart.strategy import Strategy

    kinds: Sequence[tuple[type[Any], type[Case]]] = (
        (Backbone, BackboneCase),
        (Head, HeadCase),
        (Strategy, StrategyCase),
        (Data, DataCase),
    )
    for base, case in kinds:
        if isinstance(part, type) and issubclass(part, base):
            return case(use=part)
    raise TypeError(f"{part!r} is neither a case nor a backbone, head, strategy or data class")
