"""The disk store gives back what was computed, to the bit, and computes nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.store import DiskRows, open_store
from headstart.store_key import StoreKey, content_digest
from headstart.store_writer import Writer

KEY = StoreKey("weights", "preparing", "layer3", "plain", "float32", "cpu", "code")
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool)


class Builder:
    """Computes row i as a function of the text i, and remembers what it was asked for."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts, self.contents = texts, [str(content_digest(text)) for text in texts]
        self.asked: list[int] = []

    def __call__(self, indices: Sequence[int]) -> Iterator[tuple[int, list[Tensor]]]:
        for index in reversed(indices):  # any order will do
            self.asked.append(index)
            yield index, self.row(index)

    def row(self, index: int) -> list[Tensor]:
        words = len(self.texts[index].split())
        generator = torch.Generator().manual_seed(sum(self.texts[index].encode()))
        return [torch.randn(words, 3, generator=generator), torch.randn(4, generator=generator)]


def texts(count: int) -> list[str]:
    return [f"text number {index}{' more' * (index % 3)}" for index in range(count)]


def is_right(rows: DiskRows, builder: Builder) -> bool:
    return len(rows) == len(builder.texts) and all(
        torch.equal(found, expected)
        for index in range(len(rows))
        for found, expected in zip(rows[index], builder.row(index), strict=True)
    )


def test_rows_are_computed_once_and_come_back_in_the_order_asked_for(tmp_path):
    first = Builder(texts(9))
    rows = open_store(tmp_path, KEY, first.contents, first)
    assert (sorted(first.asked), rows.computed) == (list(range(9)), 9)
    assert is_right(rows, first)
    backwards = Builder(texts(9)[::-1])
    rows = open_store(tmp_path, KEY, backwards.contents, backwards)
    assert (backwards.asked, rows.computed) == ([], 0)
    assert is_right(rows, backwards)


def test_of_appended_examples_only_the_new_ones_are_computed(tmp_path):
    open_store(tmp_path, KEY, Builder(texts(10)).contents, Builder(texts(10)))
    more = Builder([*texts(5), "a new one", *texts(11)[5:]])
    rows = open_store(tmp_path, KEY, more.contents, more)
    assert sorted(more.asked) == [5, 11]
    assert is_right(rows, more)


def test_equal_contents_share_one_row(tmp_path):
    builder = Builder(["same", "other", "same", "same"])
    rows = open_store(tmp_path, KEY, builder.contents, builder)
    assert sorted(builder.asked) == [0, 1]
    assert is_right(rows, builder)
    assert sum(shard["rows"] for shard in json.loads(next(tmp_path.glob("*/index.json")).read_text())["shards"]) == 2


@pytest.mark.parametrize("name", [field.name for field in fields(StoreKey)])
def test_a_change_of_anything_in_the_key_is_a_miss(tmp_path, name):
    open_store(tmp_path, KEY, Builder(texts(3)).contents, Builder(texts(3)))
    again = Builder(texts(3))
    open_store(tmp_path, replace(KEY, **{name: "changed"}), again.contents, again)
    assert sorted(again.asked) == [0, 1, 2]


def test_no_examples_are_no_rows(tmp_path):
    builder = Builder([])
    rows = open_store(tmp_path, KEY, [], builder)
    assert (len(rows), rows.nbytes, builder.asked) == (0, 0, [])


def test_rows_are_of_their_own_memory(tmp_path):
    builder = Builder(texts(4))
    rows = open_store(tmp_path, KEY, builder.contents, builder)
    for tensor in rows[1]:
        tensor.zero_()
    assert is_right(rows, builder)
    assert rows.nbytes == sum(tensor.nbytes for index in range(4) for tensor in builder.row(index))


def test_shards_have_bounded_size(tmp_path):
    builder = Builder(texts(30))
    rows = open_store(tmp_path, KEY, builder.contents, builder, shard_bytes=300)
    shards = json.loads(next(tmp_path.glob("*/index.json")).read_text())["shards"]
    assert len(shards) >= 6
    assert max(shard["rows"] for shard in shards) <= 6
    assert is_right(rows, builder)


def test_what_was_computed_before_an_error_is_kept(tmp_path):
    def failing(indices: Sequence[int]) -> Iterator[tuple[int, list[Tensor]]]:
        for index in indices:
            if index == 4:
                raise ZeroDivisionError
            yield index, builder.row(index)

    builder = Builder(texts(6))
    with pytest.raises(ZeroDivisionError):
        open_store(tmp_path, KEY, builder.contents, failing)
    rows = open_store(tmp_path, KEY, builder.contents, builder)
    assert sorted(builder.asked) == [4, 5]
    assert is_right(rows, builder)


@pytest.mark.parametrize(
    ("given", "said"),
    [([0, 1], "gave 2 rows, 3 were asked for"), ([0, 0, 1], "a row for 0"), ([0, 7], "a row for 7, which was not asked for")],
)
def test_a_builder_that_gives_other_rows_is_a_fault(tmp_path, given, said):
    builder = Builder(texts(3))
    with pytest.raises(HeadstartError, match=said):
        open_store(tmp_path, KEY, builder.contents, lambda _: ((index, [torch.zeros(1)]) for index in given))


def test_a_slow_builder_is_published_by_time(tmp_path, monkeypatch):
    monkeypatch.setattr("headstart.store_writer.PUBLISH_SECONDS", 0.0)
    builder = Builder(texts(3))
    open_store(tmp_path, KEY, builder.contents, builder)
    assert len(json.loads(next(tmp_path.glob("*/index.json")).read_text())["shards"]) == 3


def test_neither_contents_nor_their_plain_digests_are_written(tmp_path):
    secret = "SMITH JOHN has a cough"
    digest = content_digest(secret)
    assert digest is not None
    open_store(tmp_path, KEY, [digest], lambda _: iter([(0, [torch.zeros(2)])]))
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert secret.encode() not in written
    assert digest.encode() not in written
    assert bytes.fromhex(digest)[:16] not in written


def test_a_row_that_safetensors_cannot_hold_is_named(tmp_path):
    with pytest.raises(HeadstartError, match=r"rows of torch\.complex128 cannot be written"):
        open_store(tmp_path, KEY, ["0"], lambda _: iter([(0, [torch.zeros(2, dtype=torch.complex128)])]))


@st.composite
def tensors(draw: st.DrawFn, dtype: torch.dtype | None = None, dimensions: int | None = None) -> Tensor:
    """Any bits in any small shape, NaNs with all their payloads included."""
    dtype = dtype or draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 3), min_size=dimensions or 0, max_size=3 if dimensions is None else dimensions))
    count = int(torch.Size(shape).numel())
    if dtype == torch.bool:
        return torch.tensor(draw(st.lists(st.booleans(), min_size=count, max_size=count)), dtype=dtype).view(shape)
    raw = bytearray(draw(st.binary(min_size=count * dtype.itemsize, max_size=count * dtype.itemsize)))
    return torch.frombuffer(raw, dtype=dtype).view(shape) if count else torch.empty(shape, dtype=dtype)


def bits(tensor: Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    return tensor.dtype, tensor.shape, tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_rows_round_trip_to_the_bit(tmp_path_factory, data):
    columns = data.draw(st.lists(st.tuples(st.sampled_from(DTYPES), st.integers(0, 3)), max_size=3))
    alike = st.tuples(*(tensors(dtype, dimensions) for dtype, dimensions in columns)).map(list)
    stored = data.draw(st.lists(alike | st.lists(tensors(), max_size=3), max_size=6))
    folder = tmp_path_factory.mktemp("round")
    contents = [str(index) for index in range(len(stored))]
    size = data.draw(st.sampled_from([1, 40, 1000]))
    for _ in range(2):
        rows = open_store(folder, KEY, contents, lambda asked: ((i, stored[i]) for i in asked), shard_bytes=size)
        assert [[bits(tensor) for tensor in rows[at]] for at in range(len(rows))] == [
            [bits(tensor) for tensor in row] for row in stored
        ]
    assert rows.computed == 0


def test_rows_that_are_views_of_a_batch_are_stored_as_what_they_show(tmp_path):
    batch = torch.arange(24.0).view(2, 3, 4)
    stored = [batch[1].T, batch[0, :, 1]]
    rows = open_store(tmp_path, KEY, ["0"], lambda _: iter([(0, stored)]))
    assert [torch.equal(found, expected) for found, expected in zip(rows[0], stored, strict=True)] == [True, True]


READER = """
import sys
from pathlib import Path
from headstart.store import open_store
from headstart.store_key import StoreKey

def megabytes(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) / 1024

def read(folder, count):
    rows = open_store(Path(folder), StoreKey(*"wpbvdcc"), [str(index) for index in range(count)], None)
    assert len(rows) == count
    for index in range(0, count, max(1, count // 10)):
        assert float(rows[index][0].sum()) == index * rows[index][0].numel()

read(sys.argv[1], 3)  # what is imported late
before = megabytes("VmHWM")
read(sys.argv[2], 200)
print(megabytes("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_opening_200_megabytes_and_reading_10_rows_takes_under_a_third_of_it(tmp_path):
    def build(values: int):
        return lambda asked: ((index, [torch.full((values + index % 2,), float(index))]) for index in asked)

    for name, count, values in (("small", 3, 10), ("large", 200, 250_000)):
        open_store(tmp_path / name, StoreKey(*"wpbvdcc"), [str(index) for index in range(count)], build(values))
    size = sum(path.stat().st_size for path in (tmp_path / "large").rglob("*.safetensors"))
    assert size > 200e6
    command = [sys.executable, "-c", READER, str(tmp_path / "small"), str(tmp_path / "large")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert float(done.stdout) < 66


def test_the_writer_numbers_on_after_what_is_there(tmp_path):
    folder = tmp_path / ("a" * 32)
    folder.mkdir()
    writer = Writer(folder, "key", [], limit=10**9, shard_bytes=1)
    for at in range(3):
        writer.add(bytes(16), [torch.full((1,), float(at))])
    assert sorted(path.name[:11] for path in folder.glob("shard-*")) == ["shard-00000", "shard-00001", "shard-00002"]
