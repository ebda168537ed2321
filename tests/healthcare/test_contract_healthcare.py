"""Every part of headstart-healthcare keeps the contract of `headstart.testing`."""

from __future__ import annotations

from headstart.testing import all_cases, expect, parametrize_with_checks


@parametrize_with_checks(all_cases("healthcare"))
def test_the_contract_is_kept(case, check):
    expect(case, check)
