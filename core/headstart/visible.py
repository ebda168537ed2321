"""Visible text: names of files and labels come from anywhere, and must not move a cursor, forge a line or turn a line round."""

from __future__ import annotations

import unicodedata

KEPT = "\t"
TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # Unicode's directional overrides and isolates
BREAKING = "\u2028\u2029"


def visible(text: str, *, lines: bool = False) -> str:
    r"""The text with characters that command a terminal, or end a line, written out: an escape becomes `\x1b`.

    Args:
        text: Of any origin.
        lines: Keep line ends, for a message of several lines.
    """
    kept = KEPT + "\n" if lines else KEPT
    return "".join(_written_out(letter) if _commands(letter) and letter not in kept else letter for letter in text)


def _commands(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cs") or letter in TURNING or letter in BREAKING


def _written_out(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")
