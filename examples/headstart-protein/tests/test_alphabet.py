from __future__ import annotations

import pytest
from headstart import errors

from headstart_protein.alphabet import clean, settle


def test_gaps_blanks_and_a_stop_at_the_end_are_no_residues():
    cleaned = clean("mk-t.A Y*")
    assert cleaned.sequence == "MKTAY"
    assert cleaned.kept == (0, 1, 3, 5, 7)
    assert cleaned.unknown is None


@pytest.mark.parametrize("letter", "BZJUO*1é")
def test_strange_letters_become_x_and_are_counted(letter):
    cleaned = clean(f"AC{letter}D")
    assert (cleaned.sequence, cleaned.replaced) == ("ACXD", 1)
    assert cleaned.unknown == (letter.upper(), 3)


def test_the_policy_decides_what_becomes_of_a_strange_letter():
    assert settle("ACUD", "X", "f:1").sequence == "ACXD"
    assert settle("ACUD", "drop", "f:1") is None
    with pytest.raises(errors.DataError, match=r"f:1: 'U' at residue 3 .* unknown: X"):
        settle("ACUD", "error", "f:1")


@pytest.mark.parametrize("policy", ["X", "drop", "error"])
def test_x_is_an_unknown_residue_already(policy):
    assert settle("AXC", policy, "f:1").sequence == "AXC"


def test_nothing_but_gaps_is_an_error_whatever_the_policy():
    with pytest.raises(errors.DataError, match="empty"):
        settle("--*", "drop", "f:1")
