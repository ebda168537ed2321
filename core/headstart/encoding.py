"""The encoding of a text file, told from its bytes: valid UTF-8 wins, then what charset-normalizer finds."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from pathlib import Path

from headstart.errors import DataError

SAMPLE = 1 << 18  # bytes of non-ASCII lines that the detector sees; more changes no answer and costs seconds
PACKED = 100  # bytes that one byte of a .gz may unfold to beyond FREE; text unfolds to 3 to 20, a bomb to 1,032
FREE = 50_000_000  # bytes that any .gz may unfold to
_CHUNK = 1 << 20
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"))
_MARKS_16 = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # UTF-32-LE begins with the same two bytes
_CANDIDATES = ["cp1252", "cp1250", "cp1251", "cp1253", "koi8_r", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"]
_SYMBOL_IN_WORD = re.compile(r"[^\W\d_][^\w\s'’\-–.,;:/]+[^\W\d_]")


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked where the name ends in `.gz`.

    Raises:
        DataError: The file is missing, unreadable, no whole gzip file, or one that unfolds to too much.
    """
    try:
        return _unpacked(path) if path.suffix.lower() == ".gz" else path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file (looked from {Path.cwd()})") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _unpacked(path: Path) -> bytes:
    """The content of a .gz file, read piece by piece, so that a bomb is refused before it fills the memory."""
    found, limit = bytearray(), max(FREE, PACKED * path.stat().st_size)
    with gzip.open(path) as file:
        while piece := file.read(_CHUNK):
            found += piece
            if len(found) > limit:
                raise DataError(f"{path}: unfolds to more than {limit:,} bytes; if it is meant, unpack it with gunzip first")
    return bytes(found)


def decode(content: bytes, *, source: str, encoding: str | None = None) -> tuple[str, str]:
    """The text and the name of its encoding; `encoding` = None finds it out.

    Raises:
        DataError: The bytes are no text of that encoding, or hold NUL.
    """
    name = encoding or guess_encoding(content, source=source)
    try:
        text = content.decode(name)
    except LookupError as error:
        raise DataError(f"{source}: there is no encoding '{name}'; leave `encoding` out to have it found") from error
    except UnicodeError as error:
        raise DataError(f"{source}: is not {name}: {error}; leave `encoding` out to have it found") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{source}:{line}: holds a NUL byte, so it is no plain text file; export it again as UTF-8")
    return text, name


def guess_encoding(content: bytes, *, source: str) -> str:
    """Name of the encoding: a byte order mark decides, then valid UTF-8, then the detector.

    Raises:
        DataError: No encoding fits.
    """
    for mark, name in (*_MARKS, *_MARKS_16):
        if content.startswith(mark):
            return name
    wide = _wide_without_mark(content)
    if wide:
        return wide
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return _detect(content, source)
    return "utf-8"


def _wide_without_mark(content: bytes) -> str | None:
    """UTF-16 without a mark: in Western text nearly every other byte is NUL."""
    head = content[:4096]
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if len(head) < 4 or len(content) % 2 or max(even, odd) < 0.8 * (len(head) // 2) or min(even, odd) > 0:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _detect(content: bytes, source: str) -> str:
    from charset_normalizer import from_bytes

    sample = _telling(content)
    best = from_bytes(sample, cp_isolation=_CANDIDATES).best()
    found = best.encoding if best else "cp1252"
    if found in ("cp1250", "cp1252"):
        found = _western(sample)
    try:
        content.decode(found)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source}: cannot tell the encoding (not UTF-8, and not all {found}: {error}); name it with `encoding: ...`"
        ) from error
    return found


def _telling(content: bytes) -> bytes:
    """The lines that hold other bytes than ASCII: the only ones that tell encodings apart."""
    lines: list[bytes] = []
    size = 0
    for line in content.splitlines(keepends=True):
        if not line.isascii():
            lines.append(line)
            size += len(line)
            if size > SAMPLE:
                break
    return b"".join(lines)[:SAMPLE]


def _western(sample: bytes) -> str:
    """cp1252 unless it puts symbols inside words and cp1250 does not: Polish read as cp1252 looks like `gêœl¹`."""
    symbols = {name: len(_SYMBOL_IN_WORD.findall(sample.decode(name, "replace"))) for name in ("cp1252", "cp1250")}
    return "cp1252" if symbols["cp1252"] <= symbols["cp1250"] else "cp1250"
