"""The conformance kit: the contract of parts as plain functions, for pytest and for `headstart plugins test`.

    from headstart.testing import BackboneCase, expect, parametrize_with_checks

    @parametrize_with_checks([BackboneCase(use="audio/net", options={"weights": "none"})])
    def test_the_contract(case, check):
        expect(case, check)

Importing this package imports no torch, so that a plugin can keep its cases beside its hooks.
"""

from __future__ import annotations

from headstart.testing.cases import BackboneCase, Case, DataCase, HeadCase, PluginCase, StrategyCase
from headstart.testing.collecting import all_cases
from headstart.testing.pytest_cases import expect, parametrize_with_checks
from headstart.testing.running import checks_for, run_case, run_check
from headstart.testing.verdict import ContractError, NotApplicableError, Result

__all__ = [
    "BackboneCase",
    "Case",
    "ContractError",
    "DataCase",
    "HeadCase",
    "NotApplicableError",
    "PluginCase",
    "Result",
    "StrategyCase",
    "all_cases",
    "checks_for",
    "expect",
    "parametrize_with_checks",
    "run_case",
    "run_check",
]
