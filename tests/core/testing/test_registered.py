"""Everything that is registered keeps the contract: the core's parts here, the plugins' in tests/vision, nlp and healthcare."""

from __future__ import annotations

from headstart.plugins import registry
from headstart.testing import all_cases, expect, parametrize_with_checks


@parametrize_with_checks(all_cases("core"))
def test_the_cores_parts_keep_the_contract(case, check):
    expect(case, check)


def test_every_registered_part_has_a_case_or_a_plain_one():
    for record in registry().records:
        if record.error:
            continue
        named = {(case.kind, case.name) for case in all_cases(record.name)}
        offered = {
            (kind, component.name)
            for kind in ("backbone", "head", "strategy", "data")
            for component in record.components.get(kind, ())
        }
        assert offered <= named
