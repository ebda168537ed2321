"""A store that is wrong, torn or poisoned is computed again; one that cannot be trusted or written is refused in a sentence."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from mounts import mounted, remounted

from headstart.errors import UsageError
from headstart.store import DiskRows, open_store
from headstart.store_eviction import parse_size, remove, stored
from headstart.store_folder import StoreError, read_index
from headstart.store_key import StoreKey

KEY = StoreKey("weights", "preparing", "layer3", "plain", "float32", "cpu", "code")
OTHER = replace(KEY, weights="other")
ROWS = 6


class Builder:
    """Row i is [i, i, ...] plus an offset, so that rows of another store can be told from these."""

    def __init__(self, offset: float = 0.0) -> None:
        self.offset, self.asked = offset, list[int]()

    def __call__(self, indices: Sequence[int]) -> Iterator[tuple[int, list[Tensor]]]:
        for index in indices:
            self.asked.append(index)
            yield index, [torch.full((5,), index + self.offset)]


def fill(
    root: Path, key: StoreKey = KEY, offset: float = 0.0, *, count: int = ROWS, **options: Any
) -> tuple[DiskRows, Builder]:
    """A store of `count` rows, two in each shard."""
    builder = Builder(offset)
    rows = open_store(root, key, [str(index) for index in range(count)], builder, shard_bytes=40, **options)
    return rows, builder


def values(rows: DiskRows) -> list[float]:
    return [float(rows[at][0].mean()) for at in range(len(rows))]


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-*"))


def flip(folder: Path) -> None:
    content = bytearray(shards(folder)[1].read_bytes())
    content[-3] ^= 1
    shards(folder)[1].write_bytes(content)


def flip_header(folder: Path) -> None:
    content = bytearray(shards(folder)[1].read_bytes())
    content[2] ^= 255
    shards(folder)[1].write_bytes(content)


def truncate(folder: Path) -> None:
    os.truncate(shards(folder)[1], 100)


def empty(folder: Path) -> None:
    os.truncate(shards(folder)[1], 0)


def swap(folder: Path) -> None:
    first, second = shards(folder)[:2]
    contents = first.read_bytes(), second.read_bytes()
    second.write_bytes(contents[0])
    first.write_bytes(contents[1])


def lose(folder: Path) -> None:
    shards(folder)[1].unlink()


def link(folder: Path) -> None:
    away = folder.parent / "elsewhere"
    shards(folder)[1].rename(away)
    (folder / json.loads((folder / "index.json").read_text())["shards"][1]["file"]).symlink_to(away)


def change_index(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text())
        change(index["shards"])
        (folder / "index.json").write_text(json.dumps(index))

    damage.__name__ = getattr(change, "__name__", "change")
    return damage


def lie_about_hash(listed: list[dict[str, Any]]) -> None:
    listed[1]["sha256"] = "0" * 64


def lie_about_rows(listed: list[dict[str, Any]]) -> None:
    listed[1]["rows"] = 1000


def lie_about_file(listed: list[dict[str, Any]]) -> None:
    listed[1]["file"] = listed[0]["file"]


def leave_the_folder(listed: list[dict[str, Any]]) -> None:
    listed[1]["file"] = f"../{listed[1]['file']}"


def say_nonsense(listed: list[dict[str, Any]]) -> None:
    listed[1] = {"file": 7, "rows": 1e999}


def write(name: str, text: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_text(text)

    damage.__name__ = f"{name}={text[:12]}"
    return damage


def cut_index(folder: Path) -> None:
    os.truncate(folder / "index.json", 150)


def remove_key(folder: Path) -> None:
    (folder / "key.json").unlink()


def foreign_key(folder: Path) -> None:
    fill(folder.parent, OTHER, offset=100.0)
    (folder / "key.json").write_bytes((folder.parent / OTHER.digest() / "key.json").read_bytes())


def foreign_shard(folder: Path) -> None:
    """A shard of another backbone, listed with its right hash."""
    fill(folder.parent, OTHER, offset=100.0)
    foreign = folder.parent / OTHER.digest()
    theirs, index = json.loads((foreign / "index.json").read_text()), json.loads((folder / "index.json").read_text())
    index["shards"][1] = theirs["shards"][1]
    file = theirs["shards"][1]["file"]
    (folder / file).write_bytes((foreign / file).read_bytes())
    (folder / "index.json").write_text(json.dumps(index))


ONE_SHARD = [flip, flip_header, truncate, empty, lose, link, foreign_shard]
ONE_SHARD += [change_index(lie) for lie in (lie_about_hash, lie_about_rows, leave_the_folder, say_nonsense)]
EVERYTHING = [cut_index, remove_key, foreign_key]
EVERYTHING += [
    write("index.json", text) for text in ("", "[]", "null", '{"format": 1}', '{"format": 2, "shards": []}', "[" * 100_000)
]
EVERYTHING += [write("key.json", text) for text in ("", "{}", '{"format": 9, "key": {}}')]
TWO_SHARDS = [swap, change_index(lie_about_file)]


@pytest.mark.parametrize(
    ("damage", "lost"), [*((d, 2) for d in ONE_SHARD), *((d, 4) for d in TWO_SHARDS), *((d, 6) for d in EVERYTHING)]
)
def test_damage_is_found_said_and_computed_again(tmp_path, damage, lost):
    fill(tmp_path)
    damage(tmp_path / KEY.digest())
    told: list[dict[str, Any]] = []
    rows, builder = fill(tmp_path, tell=lambda event, **facts: told.append({"event": event, **facts}))
    assert values(rows) == [0, 1, 2, 3, 4, 5]
    assert len(builder.asked) == lost
    rows, again = fill(tmp_path)
    assert (values(rows), again.asked) == ([0, 1, 2, 3, 4, 5], [])
    assert len(shards(tmp_path / KEY.digest())) == len(read_index(tmp_path / KEY.digest()))


def test_damage_is_told_with_the_place(tmp_path):
    fill(tmp_path)
    flip(tmp_path / KEY.digest())
    told: list[str] = []
    fill(tmp_path, tell=lambda event, **facts: told.append(f"{event}: {facts['message']}"))
    assert told == [
        f"warning: 1 of 3 shards of the store {tmp_path / KEY.digest()} are damaged or foreign; their rows are computed again"
    ]


def test_damage_that_keeps_size_and_time_of_change_is_found_too(tmp_path):
    fill(tmp_path)
    shard = shards(tmp_path / KEY.digest())[1]
    before = shard.stat()
    flip(tmp_path / KEY.digest())
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    rows, builder = fill(tmp_path)
    assert (values(rows), len(builder.asked)) == ([0, 1, 2, 3, 4, 5], 2)


def test_leftovers_of_killed_builders_go_with_the_next_building(tmp_path):
    fill(tmp_path)
    folder = tmp_path / KEY.digest()
    (folder / ".shard-00009-01234567.safetensors.77.tmp").write_bytes(b"half")
    (folder / "shard-00008-01234567.safetensors").write_bytes(b"published by nobody")
    fill(tmp_path, count=ROWS + 1)
    assert [path.name[:11] for path in shards(folder)] == [f"shard-0000{number}" for number in range(4)]
    assert not list(folder.glob("*.tmp"))


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720])
@pytest.mark.parametrize("inner", ["", KEY.digest()])
def test_a_folder_that_others_can_write_is_refused(tmp_path, mode, inner):
    root = tmp_path / "stores"
    fill(root)
    (root / inner).chmod(mode)
    with pytest.raises(StoreError, match=r"can be written by others \(mode 7\d0?7?\).*chmod go-w"):
        fill(root)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to another user")
@pytest.mark.parametrize("inner", ["", KEY.digest()])
def test_a_folder_of_another_user_is_refused(tmp_path, inner):
    root = tmp_path / "stores"
    fill(root)
    os.chown(root / inner, 4321, 4321)
    with pytest.raises(StoreError, match=r"another user \(uid 4321\)"):
        fill(root)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to another user")
def test_a_shard_of_another_user_is_computed_again(tmp_path):
    fill(tmp_path)
    os.chown(shards(tmp_path / KEY.digest())[0], 4321, 4321)
    rows, builder = fill(tmp_path)
    assert (values(rows), builder.asked) == ([0, 1, 2, 3, 4, 5], [0, 1])


def test_a_link_in_place_of_the_store_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / KEY.digest()).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="is no folder"):
        fill(tmp_path)


def test_new_folders_are_the_owners_alone(tmp_path):
    fill(tmp_path / "cache" / "stores")
    assert oct((tmp_path / "cache" / "stores").stat().st_mode & 0o777) == "0o700"
    assert oct((tmp_path / "cache" / "stores" / KEY.digest()).stat().st_mode & 0o777) == "0o700"


def large(asked: Sequence[int]) -> Iterator[tuple[int, list[Tensor]]]:
    return ((index, [torch.full((200_000,), float(index))]) for index in asked)


def test_a_full_disk_is_an_error_with_place_and_bytes_and_keeps_what_was_published(tmp_path):
    contents = [str(index) for index in range(10)]
    with mounted(tmp_path, "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs"):
        with pytest.raises(StoreError, match=rf"cannot write 800,\d+ bytes to the store '{tmp_path}.*No space left") as caught:
            open_store(tmp_path, KEY, contents, large, shard_bytes=1)
        assert caught.value.needed > 800_000
        kept = open_store(tmp_path, KEY, contents[:4], large, shard_bytes=1)
        assert (kept.computed, values(kept)) == (0, [0, 1, 2, 3])
        assert not list((tmp_path / KEY.digest()).glob("*.tmp"))


def test_files_that_may_not_grow_are_the_same_error(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"cannot write 800,\d+ bytes"):
            open_store(tmp_path, KEY, ["0"], large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_no_more_files_is_the_same_error(tmp_path):
    with mounted(tmp_path, "-t", "tmpfs", "-o", "size=4m,mode=700,nr_inodes=10", "tmpfs"):
        with pytest.raises(StoreError, match="No space left"):
            fill(tmp_path, count=40)
        rows, builder = fill(tmp_path, count=2)
        assert (values(rows), builder.asked) == ([0, 1], [])


def test_a_disk_that_cannot_be_synced_is_an_error_and_nothing_of_it_is_used(tmp_path, monkeypatch):
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(StoreError, match="Input/output error"):
            fill(tmp_path)
    assert shards(tmp_path / KEY.digest()) == []
    rows, builder = fill(tmp_path)
    assert (values(rows), len(builder.asked)) == ([0, 1, 2, 3, 4, 5], 6)


def test_a_read_only_store_is_read_and_a_miss_in_it_is_refused(tmp_path):
    rows, _ = fill(tmp_path)
    rows.close()
    with mounted(tmp_path, "--bind", str(tmp_path)):
        remounted(tmp_path, "ro,bind")
        rows, builder = fill(tmp_path)
        assert (values(rows), builder.asked) == ([0, 1, 2, 3, 4, 5], [])
        with pytest.raises(StoreError, match=rf"cannot use the store '{tmp_path}.*Read-only"):
            fill(tmp_path, count=ROWS + 1)
        with pytest.raises(StoreError, match="Read-only"):
            fill(tmp_path, OTHER)


def test_a_cache_where_a_file_stands_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot use the store '.*/file/stores': "):
        fill(tmp_path / "file" / "stores")


def sizes(root: Path) -> dict[str, int]:
    return {store.digest: store.bytes for store in stored(root)}


def keys(count: int) -> list[StoreKey]:
    return [replace(KEY, weights=f"w{number}") for number in range(count)]


def age(root: Path, key: StoreKey, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(root / key.digest() / "used", (then, then))


def test_the_least_recently_used_store_makes_room(tmp_path):
    first, second, third = keys(3)
    for key in (first, second):
        fill(tmp_path, key)[0].close()
    age(tmp_path, first, 100)
    age(tmp_path, second, 50)
    rows, _ = fill(tmp_path, first)  # used again, so that the second is the older one
    rows.close()
    limit = sum(sizes(tmp_path).values()) + 300
    fill(tmp_path, third, limit_bytes=limit)
    assert set(sizes(tmp_path)) == {first.digest(), third.digest()}


def test_a_store_in_use_is_never_removed(tmp_path):
    first, second, third = keys(3)
    held, _ = fill(tmp_path, first)
    fill(tmp_path, second)[0].close()
    age(tmp_path, first, 100)
    limit = sum(sizes(tmp_path).values()) + 300
    fill(tmp_path, third, limit_bytes=limit)[0].close()
    assert set(sizes(tmp_path)) == {first.digest(), third.digest()}
    assert values(held) == [0, 1, 2, 3, 4, 5]
    assert not remove(next(store for store in stored(tmp_path) if store.digest == first.digest()))
    del held
    assert remove(next(store for store in stored(tmp_path) if store.digest == first.digest()))


def test_rows_of_a_closed_store_outlive_its_removal(tmp_path):
    rows, _ = fill(tmp_path)
    rows.close()
    assert remove(stored(tmp_path)[0])
    assert values(rows) == [0, 1, 2, 3, 4, 5]


def test_what_does_not_fit_under_the_limit_is_refused_with_bytes(tmp_path):
    with pytest.raises(
        StoreError, match=r"800,\d+ more bytes in the store .* over the limit of 500,000; raise HEADSTART_CACHE_LIM"
    ):
        open_store(tmp_path, KEY, ["0"], large, limit_bytes=500_000)
    assert shards(tmp_path / KEY.digest()) == []


def test_the_limit_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", "0.5MB")
    with pytest.raises(StoreError, match="over the limit of 500,000"):
        open_store(tmp_path, KEY, ["0"], large)
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", "much")
    with pytest.raises(UsageError, match="HEADSTART_CACHE_LIMIT: 'much' is no size; write for example 5GB"):
        open_store(tmp_path, KEY, ["0"], large)


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("5GB", 5 * 10**9), ("500 MB", 5 * 10**8), ("2GiB", 2**31), ("1.5k", 1500), (" 7 B ", 7)]
)
def test_sizes_are_read(text, size):
    assert parse_size(text, "here") == size


@pytest.mark.parametrize("text", ["", "GB", "-5GB", "5 apples", "5GBB", "1e9", "IB", "5IB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="is no size"):
        parse_size(text, "here")


@pytest.mark.parametrize("seconds", [3600 * 24 * 400, -3600 * 24 * 400], ids=["future", "past"])
def test_stores_from_another_year_by_their_clock_are_read_and_removed_like_others(tmp_path, seconds):
    """What is in a store is known by its hashes, never by its time; the time only says which goes first."""
    first, second = keys(2)
    fill(tmp_path, first)
    then = time.time() + seconds
    for path in (tmp_path / first.digest(), *(tmp_path / first.digest()).iterdir()):
        os.utime(path, (then, then))
    rows, builder = fill(tmp_path, first)
    assert (values(rows), builder.asked) == ([0, 1, 2, 3, 4, 5], [])
    rows.close()
    assert abs(stored(tmp_path)[0].used - time.time()) < 60, "its use was written down by the clock of now"
    fill(tmp_path, second)[0].close()
    total = sum(sizes(tmp_path).values())
    fill(tmp_path, replace(KEY, weights="third"), limit_bytes=total)[0].close()
    assert first.digest() not in sizes(tmp_path), "the least recently used went"


def test_no_store_where_there_are_no_locks(tmp_path, monkeypatch):
    import fcntl

    def refuse(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreError, match="No locks available"):
        fill(tmp_path)


def test_opening_hundreds_of_shards_takes_no_file_descriptors(tmp_path):
    builder = Builder()
    rows = open_store(tmp_path, KEY, [str(index) for index in range(100)], builder, shard_bytes=1)
    assert len(shards(tmp_path / KEY.digest())) == 100
    assert len(list(Path(f"/proc/{os.getpid()}/fd").iterdir())) < 60 if sys.platform == "linux" else True
    assert values(rows) == list(range(100))
