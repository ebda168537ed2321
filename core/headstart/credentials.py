"""Credentials: tokens, keys and passwords are taken out of everything that is logged or said; errors of libraries hold URLs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logging import LogRecord

HIDDEN = "[hidden]"
LEAST = 8  # letters of a variable's value that is hidden wherever it stands; a shorter one would hit ordinary words

_OWNERS = "hf|hub|github|gitlab|access|auth|api|bearer|refresh|session|security|private|secret|client"  # not pad_token's
_NAMES = rf"(?:(?:{_OWNERS})[_-]?(?:token|key|secret)|passw(?:or)?d|passwd|pwd|secret|signature|x-amz-(?:signature|credential))"
PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?(?:-----END \1PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
    # RFC 3986, section 3.2.1: what stands before the host of a URL
    (re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s/?#@'\"]+@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    # RFC 9110, section 11.6.2
    (
        re.compile(r"(authorization['\"]?\s*[:=]\s*['\"]?(?:(?:bearer|basic|digest|token)\s+)?)[^\s'\",]+", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"\b(bearer\s+)[\w.~+/-]{8,}=*", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"([?&](?:token|key|sig|auth)=)[^\s&#'\"]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(rf"(\b(?:\w+[_-])?{_NAMES}['\"]?\s*[=:]\s*['\"]?)[^\s'\",;&]{{4,}}", re.IGNORECASE), rf"\1{HIDDEN}"),
    # forms that their issuers document, so that scanners find them
    (re.compile(r"\b(?:hf_|gh[opsur]_|github_pat_|glpat-|sk-|xox[abprs]-|pypi-)[\w-]{16,}"), HIDDEN),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), HIDDEN),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), HIDDEN),  # RFC 7519: a JSON web token
)
VARIABLE = re.compile(r"(?:TOKEN|API_?KEY|ACCESS_KEY|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$")


def without_credentials(text: str) -> str:
    """The text with every token, key and password that can be recognised replaced by "[hidden]".

    Known are the forms of `PATTERNS`, and the values of this process's environment variables whose names end like HF_TOKEN,
    WANDB_API_KEY or AWS_SECRET_ACCESS_KEY, wherever they stand.
    """
    for value in _values():
        text = text.replace(value, HIDDEN)
    for pattern, replacement in PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def hide_in(value: Any) -> Any:
    """The same for every text within plain values, keys as they are."""
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, Mapping):
        return {key: hide_in(item) for key, item in value.items()}
    return [hide_in(item) for item in value] if isinstance(value, list | tuple) else value


class Hiding:
    """A filter for handlers of `logging`: it rewrites records of every logger, their tracebacks too, and drops none."""

    def filter(self, record: LogRecord) -> bool:
        """Rewrite one record."""
        record.msg, record.args = without_credentials(record.getMessage()), ()
        if record.exc_info:
            from logging import Formatter

            record.exc_text = without_credentials(Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


_HIDING = Hiding()


def hide_in_logs() -> None:
    """Put the filter on the handlers of the root logger and on the one of last resort; once is enough."""
    import logging

    for handler in (*logging.getLogger().handlers, *filter(None, [logging.lastResort])):
        if _HIDING not in handler.filters:
            handler.addFilter(_HIDING)


def _values() -> list[str]:
    """Secret values of the environment, the longest first; what leads to a file is a place and no secret."""
    named = (value for name, value in os.environ.items() if VARIABLE.search(name.upper()))
    return sorted((value for value in set(named) if len(value) >= LEAST and not os.path.exists(value)), key=len, reverse=True)  # noqa: PTH110 - of any text
