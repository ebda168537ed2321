"""Pseudonyms: HMAC-SHA256 of a name with a project key that is kept outside every run, readable by its owner only."""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from platformdirs import user_config_path

from headstart.errors import DataError, UsageError

VARIABLE = "HEADSTART_PSEUDONYM_KEY"
"""Environment variable that names another key file: one for each project."""

_BYTES = 32  # as HMAC-SHA256 asks for: RFC 2104, section 3
_SHOWN = 16  # hexadecimal digits, 64 bits: among a million names two alike have a probability under 1e-7


@dataclass(frozen=True)
class Pseudonyms:
    """The same name has the same pseudonym wherever the key is the same."""

    key: bytes

    def __repr__(self) -> str:
        return "Pseudonyms()"

    def of(self, kind: str, name: str) -> str:
        """A pseudonym such as "patient-3f9c...".

        Args:
            kind: What is named; the same words as a patient and as a file have different pseudonyms.
            name: As the source has it.
        """
        digest = hmac.new(self.key, f"{kind}\0{name}".encode("utf-8", "surrogatepass"), sha256).hexdigest()
        return f"{kind}-{digest[:_SHOWN]}"


def key_file() -> Path:
    """Where the key is: `HEADSTART_PSEUDONYM_KEY`, else in the user's folder of settings."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else user_config_path("headstart") / "pseudonym.key"


def pseudonyms() -> Pseudonyms:
    """With the project's key, which is made on first use.

    Raises:
        DataError: The key file is damaged, or others may read it.
        UsageError: It cannot be made.
    """
    return _of_file(key_file())


@lru_cache(maxsize=8)
def _of_file(path: Path) -> Pseudonyms:
    if not path.exists():
        _make(path)
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise DataError(f"the key of pseudonyms may be read by others; close it with: chmod 600 {path}")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise DataError(f"the key of pseudonyms in {path} cannot be read: {type(error).__name__}") from None
    if len(key) != _BYTES:
        raise DataError(f"the key of pseudonyms in {path} has {len(key)} bytes, not {_BYTES}; restore it from a copy")
    return Pseudonyms(key)


def _make(path: Path) -> None:
    """Written under another name and linked, so that of two processes at once both end with one key."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_BYTES))
        with suppress(FileExistsError):
            os.link(temporary, path)
    except OSError as error:
        raise UsageError(f"cannot make the key of pseudonyms in {path.parent}: {error.strerror}; set {VARIABLE}") from None
    finally:
        temporary.unlink(missing_ok=True)
