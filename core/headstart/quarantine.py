"""Quarantine: records that cannot be used are left out by name, up to a budget (`max_bad`). No torch."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from headstart.errors import DataError, UsageError

SHOWN = 5  # records that a message names

log = logging.getLogger(__name__)


def check_budget(max_bad: float, things: str) -> None:
    """Called as a data part is made, so that nothing is read in vain.

    Raises:
        UsageError: It is no share.
    """
    if not 0 <= max_bad <= 1:
        raise UsageError(f"data.max_bad: {max_bad} is no share of the {things}; 0 = none may be broken, 1 = all")


def hold_to_budget(bad: Mapping[str, str], count: int, max_bad: float, things: str, fault: str = "cannot be read") -> None:
    """Warn of what was left out, or stop where it is too much.

    Args:
        bad: Name of each record that was left out -> why, as a sentence.
        count: All records, the bad ones among them.
        max_bad: Largest share that may be left out, in [0, 1].
        things: What they are called, in the plural.
        fault: What is wrong with them.

    Raises:
        DataError: More than that share is bad; the first of them are named.
    """
    share = f"{len(bad):,} of {count:,} {things} {fault}"
    if len(bad) > max_bad * count:
        raise DataError(f"{share}, over the budget of {max_bad:g} (data.max_bad): {listed(bad)}")
    if bad:
        log.warning("%s and are left out: %s", share, listed(bad))


def listed(bad: Mapping[str, str]) -> str:
    """The first reasons, and how many more there are."""
    more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    return "; ".join(list(bad.values())[:SHOWN]) + more
