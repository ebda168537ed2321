"""Importing a kit: everything is unpacked beside its place and held to its hash before the first file is moved into place.

A kit is input from outside like any other. Its list is held against what is really in the zip file, names against what may lie
in each home, and sizes against the list, so that no kit can write elsewhere or more than it says.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from headstart.errors import DataError, HeadstartError, UsageError
from headstart.faults import reach
from headstart.files import file_hash
from headstart.homes import FILES, HUB, PACKAGES, ROOTS, is_name
from headstart.kit import BLOCK, FORMAT, MANIFEST, Entry, Manifest
from headstart.published import BLOBS, has_published

LARGEST_MANIFEST = 64 << 20
RATIO = 100  # a kit that was packed anew by another program may be compressed; text shrinks to a tenth, a bomb to a thousandth
SNAPSHOT_DEPTH, PACKAGE_DEPTH = 3, 2  # parts of a name up to the folder that is moved whole


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        new: Files that were put into place.
        kept: Files that were there already, with the same content.
        folder: Where recipes and local files are.
    """

    manifest: Manifest
    new: int
    kept: int
    folder: Path


@dataclass(frozen=True)
class _Move:
    """A file or a whole folder that is renamed."""

    source: Path
    target: Path


def import_kit(kit: Path, folder: Path, *, digest: str = "") -> Imported:
    """Put the files of a kit where loaders look for them, and its recipes and local files into `folder`.

    Args:
        kit: The zip file.
        folder: May exist; what is in it is kept.
        digest: SHA-256 that the kit must have, told by who made it; "" = it is not checked against anything from outside.

    Raises:
        DataError: The kit is damaged or not what its list says, or another file is in the place of one; nothing was moved.
        UsageError: It cannot be opened, or was made in another format.
    """
    if digest and not file_hash(_there(kit)).startswith(digest.lower()):
        raise DataError(f"{kit}: its sha256 is {file_hash(kit)}, not {digest}; it is not the kit that was sent")
    with _opened(kit) as archive:
        manifest = _manifest(archive, kit)
        _check_members(archive, manifest, kit)
        roots = {home: (folder if home == FILES else ROOTS[home]()) for home in {entry.home for entry in manifest.files}}
        missing = [entry for entry in manifest.files if not _is_there(entry, roots)]
        _check_room(missing, roots, kit)
        with _staging(roots) as staged:
            for entry in missing:
                _unpack(archive, entry, staged[entry.home] / entry.path, kit)
            _carry_out(_moves(missing, staged, roots))
    return Imported(manifest, len(missing), len(manifest.files) - len(missing), folder)


def _there(kit: Path) -> Path:
    if not kit.is_file():
        raise UsageError(f"there is no kit '{kit}'")
    return kit


@contextmanager
def _opened(kit: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(_there(kit)) as archive:
            yield archive
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:  # what zipfile raises at damage
        if isinstance(error, HeadstartError):
            raise
        raise DataError(f"{kit} is damaged, or no kit ({error}); copy it again") from error


def _manifest(archive: zipfile.ZipFile, kit: Path) -> Manifest:
    try:
        info = archive.getinfo(MANIFEST)
    except KeyError:
        raise DataError(f"{kit} holds no {MANIFEST}; it is no kit of `headstart cache fetch`") from None
    if info.file_size > LARGEST_MANIFEST:
        raise DataError(f"{kit}: its {MANIFEST} has {info.file_size:,} bytes, more than any kit has")
    try:
        with archive.open(info) as member:
            content = json.loads(member.read(LARGEST_MANIFEST))
        if isinstance(content, dict) and content.get("format") != FORMAT:
            raise UsageError(f"{kit}: this version reads kits of format {FORMAT}, not {content.get('format')!r}")
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"{kit}: its {MANIFEST} is damaged at {place}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{kit}: its {MANIFEST} is damaged: {str(error)[:200]}") from error


def _check_members(archive: zipfile.ZipFile, manifest: Manifest, kit: Path) -> None:
    """Compare what is in the zip file with the list, before a byte of it is unpacked."""
    infos = archive.infolist()
    listed = {entry.member: entry for entry in manifest.files}
    for entry in manifest.files:
        if not is_name(entry.home, entry.path):
            raise DataError(f"{kit}: a file named '{entry.member[:200]}' may not stand in a kit; it is not unpacked")
        if entry.blob and (entry.home != HUB or "/refs/" in entry.path):
            raise DataError(
                f"{kit}: its {MANIFEST} gives '{entry.member[:200]}' a hash of the hub, where it is none of its files"
            )
    if not set(manifest.recipes) <= {entry.path for entry in manifest.files if entry.home == FILES}:
        raise DataError(f"{kit}: its {MANIFEST} names recipes that it does not hold")
    if len(listed) != len(manifest.files) or len({name.casefold() for name in listed}) != len(listed):
        raise DataError(f"{kit}: its {MANIFEST} lists a file twice")
    if sorted(info.filename for info in infos) != sorted([*listed, MANIFEST]):
        raise DataError(f"{kit} does not hold exactly the files that its {MANIFEST} lists")
    for info in infos:
        mode = info.external_attr >> 16
        if info.is_dir() or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
            raise DataError(f"{kit}: '{info.filename}' is no plain file but a link, a folder or a device")
        if info.filename != MANIFEST and info.file_size != listed[info.filename].bytes:
            raise DataError(
                f"{kit}: '{info.filename}' has {info.file_size:,} bytes, not the {listed[info.filename].bytes:,} listed"
            )
        if info.compress_size * RATIO < info.file_size:
            raise DataError(f"{kit}: '{info.filename}' would unfold to more than {RATIO} times its size; it is not unpacked")
    if sum(info.compress_size for info in infos) > kit.stat().st_size:
        raise DataError(f"{kit}: its files lie one over the other; it is not unpacked")


def _is_there(entry: Entry, roots: Mapping[str, Path]) -> bool:
    """Whether the very file is in its place.

    Raises:
        DataError: Another one is.
    """
    target = roots[entry.home] / entry.path
    if not os.path.lexists(target):
        return False
    if target.is_file() and file_hash(target) == entry.sha256:
        return True
    if entry.home == HUB and target.parts[-2] == "refs":
        return False  # a branch that has moved: the kit's recipes were made with this commit
    raise DataError(f"{target} is there with another content than the kit's; nothing was imported: remove it, or keep it")


def _check_room(entries: Sequence[Entry], roots: Mapping[str, Path], kit: Path) -> None:
    for home, root in roots.items():
        needed = sum(entry.bytes for entry in entries if entry.home == home)
        there = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
        if needed > free:
            raise HeadstartError(f"{kit}: {needed:,} bytes belong into {root}, and {free:,} are free there")


@contextmanager
def _staging(roots: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """A folder beside the files' place in each home, on the same file system, that is gone afterwards."""
    staged: dict[str, Path] = {}
    try:
        for home, root in roots.items():
            beside = root.absolute().parent if home == FILES else root
            with _said(root):
                beside.mkdir(parents=True, exist_ok=True)
                for left in beside.glob(".headstart-kit-*"):
                    if not _is_running(left.name.rpartition("-")[2]):
                        shutil.rmtree(left, ignore_errors=True)
                staged[home] = beside / f".headstart-kit-{home}-{os.getpid()}"
                staged[home].mkdir(mode=0o700)
        yield staged
    finally:
        for path in staged.values():
            shutil.rmtree(path, ignore_errors=True)


def _is_running(process: str) -> bool:
    if not process.isdigit():
        return True  # not ours
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _unpack(archive: zipfile.ZipFile, entry: Entry, target: Path, kit: Path) -> None:
    """One file, held to its size and hash; what it would have more is not read."""
    digest, left = sha256(), entry.bytes
    with _said(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry.member) as member, _said(target), target.open("xb") as file:
        while block := member.read(min(BLOCK, left + 1)):
            left -= len(block)
            if left < 0:
                break
            digest.update(block)
            file.write(block)
        reach("kit.unpack")
        file.flush()
        os.fsync(file.fileno())
    if left or digest.hexdigest() != entry.sha256:
        raise DataError(
            f"{kit}: '{entry.member}' is damaged (its sha256 is not the listed one); nothing was imported: copy it again"
        )
    if entry.blob and not has_published(target, entry.blob):
        raise DataError(f"{kit}: '{entry.member}' is not what the hub published; nothing was imported")


def _moves(entries: Sequence[Entry], staged: Mapping[str, Path], roots: Mapping[str, Path]) -> list[_Move]:
    """What is renamed, in this order: contents of the hub, then folders that are complete, then what leads to them."""
    blobs, folders, files, references = [], dict[Path, _Move](), [], []
    for entry in entries:
        source, target = staged[entry.home] / entry.path, roots[entry.home] / entry.path
        if entry.blob and _links_here(staged[entry.home]):
            root = entry.path.partition("/")[0]
            blob = roots[HUB] / root / BLOBS / entry.blob
            kept = source.with_name(f".{entry.blob}")
            source.rename(kept)
            up = "../" * (len(entry.path.split("/")) - 2)
            source.symlink_to(f"{up}{BLOBS}/{entry.blob}")
            held = staged[HUB] / f".{BLOBS}" / root / entry.blob
            held.parent.mkdir(parents=True, exist_ok=True)
            kept.rename(held)
            blobs.append(_Move(held, blob))
        if entry.home == HUB and entry.path.split("/")[1] == "refs":
            references.append(_Move(source, target))
        elif (whole := _whole(entry, staged, roots)) is not None:
            folders[whole.target] = whole
        else:
            files.append(_Move(source, target))
    return [*blobs, *folders.values(), *files, *references]


def _whole(entry: Entry, staged: Mapping[str, Path], roots: Mapping[str, Path]) -> _Move | None:
    """The folder that is renamed as one, so that it is there whole or not at all; None = a part of it is there already."""
    depth = {HUB: SNAPSHOT_DEPTH, PACKAGES: PACKAGE_DEPTH, FILES: 0}.get(entry.home)
    if depth is None:
        return None
    below = Path(*entry.path.split("/")[:depth])
    target = roots[entry.home] / below
    return None if target.exists() else _Move(staged[entry.home] / below, target)


def _links_here(folder: Path) -> bool:
    probe = folder / ".link"
    try:
        probe.symlink_to("nowhere")
    except OSError:
        return False
    probe.unlink()
    return True


def _carry_out(moves: Sequence[_Move]) -> None:
    """Rename all; where one fails, take back those before."""
    done: list[_Move] = []
    try:
        for move in moves:
            reach("kit.move")
            is_new = not os.path.lexists(move.target)
            with _said(move.target):
                move.target.parent.mkdir(parents=True, exist_ok=True)
                move.source.replace(move.target)
            done += [move] if is_new else []
    except BaseException:
        for move in reversed(done):
            with suppress(OSError):
                move.target.replace(move.source)
        raise


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HeadstartError(f"{path}: {error.strerror or error}; nothing was imported") from error
