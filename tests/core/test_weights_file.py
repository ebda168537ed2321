"""Finding weights: from a place to one file that has the hash that it should have."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from headstart import WeightsFile, find_weights
from headstart.errors import MissingError, WeightsError

COMMIT = "c731040fcd8d73dceaa04b0a8e6329b345b0f5df"


@pytest.fixture
def folder(tmp_path):
    save_file({"weight": torch.arange(4.0)}, str(tmp_path / "model.safetensors"))
    (tmp_path / "other.bin").write_bytes(b"other")
    return tmp_path


def test_a_folder_a_file_and_a_second_name_are_found(folder):
    file = folder / "model.safetensors"
    assert find_weights(str(folder)) == WeightsFile(file, str(folder))
    assert find_weights(str(file)).path == file
    assert find_weights(str(folder), names=("absent.bin", "other.bin")).path.name == "other.bin"


def test_the_card_holds_hash_and_size_of_the_file_and_what_is_said(folder):
    found = find_weights(str(folder))
    truth = hashlib.sha256(found.path.read_bytes()).hexdigest()
    card = found.card(licence="MIT", trained_on="nothing", expects="numbers")
    assert (card.sha256, card.source, card.licence) == (truth, str(folder), "MIT")
    assert find_weights(str(folder), sha256=truth[:12].upper()).sha256 == truth


def test_a_changed_file_has_its_new_hash(folder):
    before = find_weights(str(folder)).sha256
    save_file({"weight": torch.arange(5.0)}, str(folder / "model.safetensors"))
    assert find_weights(str(folder)).sha256 != before


@pytest.mark.parametrize(
    ("place", "sha256", "says"),
    [
        ("{}/nowhere", "", "no file or folder .*nowhere"),
        ("facebook/esm2", "", "needs its commit: facebook/esm2@<40 digits>"),
        ("{}", "0" * 64, "not 0000.*get it again"),
        ("{}", "abc", "at least its first 8 digits"),
        (
            f"nobody/nothing@{COMMIT}",
            "",
            "offline, and it is not in the cache.*hf download nobody/nothing --revision",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words(place, sha256, says, folder, monkeypatch):
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    with pytest.raises(WeightsError, match=says):
        find_weights(place.format(folder), sha256=sha256)


def test_a_folder_without_weights_and_an_absent_package_are_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"holds no model\.safetensors"):
        find_weights(str(tmp_path))
    with pytest.raises(MissingError, match="pip install no-such-package"):
        find_weights("package:no-such-package/weights")


def test_the_helper_imports_no_torch():
    code = "import sys, headstart; headstart.find_weights; headstart.read_table; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
