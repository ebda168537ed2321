"""The core's conformance kit over every part of this plugin."""

from __future__ import annotations

from headstart.testing import all_cases, expect, parametrize_with_checks


@parametrize_with_checks(all_cases("protein"))
def test_the_contract(case, check):
    expect(case, check)
