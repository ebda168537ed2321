"""Everything that is registered keeps the contract: the core's parts here, the plugins' in tests/vision, nlp and healthcare."""

from __future__ import annotations

import pytest

from headstart.options import describe
from headstart.plugins import registry
from headstart.testing import HeadCase, all_cases, expect, parametrize_with_checks
from headstart.testing.collecting import PLAIN, cases_of
from headstart.testing.head_bench import TARGETS


@parametrize_with_checks(all_cases("core"))
def test_the_cores_parts_keep_the_contract(case, check):
    expect(case, check)


RECORDS = [record for record in registry().records if not record.error]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_every_registered_part_has_a_case_that_asks_it_something(record):
    """One of its own, or a plain one that the kit can build and has targets for: none is passed over in silence."""
    own, every = ({(case.kind, case.name) for case in found} for found in (cases_of(record), all_cases(record.name)))
    parts = [(kind, component) for kind in PLAIN for component in record.components.get(kind, ())]
    assert {(kind, component.name) for kind, component in parts} <= every
    for kind, component in parts:
        described = describe(component)
        is_plain = not any(option.required for option in described.options)
        if kind == "head":
            is_plain = is_plain and bool(set(described.attributes.get("kinds", ())) & set(TARGETS))
        assert (kind, component.name) in own or is_plain, f"{kind} {component.name}: the kit can ask a plain case nothing"


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_what_no_check_asks_has_a_written_reason(record):
    cases = all_cases(record.name)
    reasons = [reason for case in cases for reason in (case.exempt, case.slow, *case.known.values()) if reason]
    assert [reason for reason in reasons if len(reason.split()) < 4] == []
    heads = [case for case in cases if isinstance(case, HeadCase) and case.target is not None]
    mute = [case.name for case in heads if case.targets is None and case.target.kind not in TARGETS]
    assert mute == []
