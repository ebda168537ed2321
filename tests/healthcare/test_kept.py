"""Kept readings: volumes that were read before training are read once, and anew where their files have changed."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest

from headstart.errors import DataError
from headstart_healthcare.data.volumes import Volumes
from headstart_healthcare.reading.grid import Grid
from headstart_healthcare.reading.kept import Kept


def written(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).random((8, 7, 6)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    return path


def test_a_volume_is_read_once_and_again_when_its_file_has_changed(tmp_path):
    path = written(tmp_path / "x" / "a.nii.gz", 1)
    written(tmp_path / "y" / "b.nii.gz", 2)
    volume = Volumes(path=str(tmp_path), group="none").examples()[0].input
    first, opened = volume.read(), volume.open()
    assert volume.read() is first
    opened[:] = 0  # a training view may be made in place
    assert np.array_equal(volume.open()[0].transpose(2, 1, 0), first.values) and first.values.any()
    with pytest.raises(ValueError, match="read-only"):
        first.values[:] = 0
    written(path, 3)
    os.utime(path, (1, 1))
    assert not np.array_equal(volume.read().values, first.values)
    path.unlink()
    with pytest.raises(DataError, match=r"missing|not there|no file"):
        volume.read()


def test_what_does_not_fit_is_not_kept_and_throws_nothing_out(tmp_path):
    files = [str(written(tmp_path / f"{at}.nii", at)) for at in range(3)]
    grids = [Grid(np.full((4, 4, 4), at, np.float32), np.eye(4)) for at in range(3)]
    kept = Kept(most=600)  # bytes; each has 256
    for at, grid in enumerate(grids):
        kept.keep(at, [files[at]], grid)
    assert [kept.find(at, [files[at]]) is grid for at, grid in enumerate(grids)] == [True, True, False]
    os.utime(files[0], (1, 1))
    assert kept.find(0, [files[0]]) is None
    kept.keep(2, [files[2]], grids[2])
    assert kept.find(2, [files[2]]) is grids[2] and kept.find(1, [files[1]]) is grids[1]
