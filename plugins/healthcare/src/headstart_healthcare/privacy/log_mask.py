"""Log mask: what any library logs is printed without names of patients and files, DICOM person names and absolute paths."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any, Protocol

from headstart_healthcare.privacy.pseudonyms import Pseudonyms

PERSON = re.compile(r"\b[A-Za-z][\w'-]*\^[\w'^-]+")
"""A DICOM person name, FAMILY^GIVEN: PS3.5, section 6.2.1."""
PATH = re.compile(r"(?:(?<=[\s'\"(=:])|^)(?:/[^\s'\"():,]+){2,}|\b[A-Za-z]:\\[^\s'\"]+")

_LEAST = 4  # letters of a name that is masked wherever it stands; shorter ones would hit ordinary words
_LEAST_NUMBER = 6  # digits of a bare number


def _can_mask(name: str) -> bool:
    """A short number would hit figures of every kind."""
    return len(name) >= (_LEAST_NUMBER if name.isdigit() else _LEAST)


class Named(Protocol):
    """What the mask needs to know of a case."""

    @property
    def key(self) -> str: ...
    @property
    def patient(self) -> str | None: ...
    @property
    def input(self) -> Any: ...


class Mask(logging.Filter):
    """Rewrites records; put on handlers, so that records of every logger pass it.

    Attributes:
        known: Raw name -> pseudonym.
    """

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, str] = {}

    def learn(self, names: Pseudonyms, cases: Iterable[Named]) -> None:
        """Remember names of patients and of files."""
        for case in cases:
            if case.patient is not None and _can_mask(case.patient):
                self.known[case.patient] = names.of("patient", case.patient)
            name = PurePath(case.key).name
            if _can_mask(name) and str(case.input) != case.key:  # else the source itself has no other name for it
                self.known[name] = names.of("scan", case.key)

    def masked(self, text: str) -> str:
        """Words that are known names, person names and absolute paths replaced."""
        text = PERSON.sub("[name]", PATH.sub("[path]", text))
        return re.sub(r"[\w.\-^=]+", lambda match: self.known.get(match[0], match[0]), text)

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite one record, its traceback too; none is dropped."""
        record.msg, record.args = self.masked(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = self.masked(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


_MASK = Mask()


def mask_logs(names: Pseudonyms | None = None, cases: Iterable[Named] = ()) -> Mask:
    """The process's mask, which every handler of the root logger and the one of last resort uses from the first names on."""
    if names is None:
        return _MASK
    _MASK.learn(names, cases)
    logging.captureWarnings(capture=True)
    last = [logging.lastResort] if logging.lastResort else []
    for handler in [*logging.getLogger().handlers, *last]:
        if _MASK not in handler.filters:
            handler.addFilter(_MASK)
    return _MASK
