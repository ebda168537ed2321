"""Places that a command reads and writes, checked before any weights are read."""

from __future__ import annotations

from pathlib import Path


def check_places(source: Path, output: Path | None = None) -> None:
    """Check where a command reads, and the table that it writes.

    Raises:
        DataError: There is no such input. UsageError: The output cannot be written there, or not in that form.
    """
    from headstart.errors import DataError, UsageError
    from headstart.predictions import FORMATS

    if not source.exists():
        raise DataError(f"{source}: there is no such file or folder")
    if output is not None and output.suffix.lower() not in FORMATS:
        raise UsageError(f"cannot write '{output}': the name must end with {', '.join(FORMATS)}")
    if output is not None and not output.absolute().parent.is_dir():
        raise UsageError(f"cannot write '{output}': there is no folder '{output.parent}'; make it first")
