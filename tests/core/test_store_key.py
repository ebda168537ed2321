"""The key of a store changes with everything that decides a value, and with nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from headstart import store_key
from headstart.backbone import WeightsCard
from headstart.device import Compute
from headstart.recipe import Part
from headstart.stages import Stage
from headstart.store_folder import StoreError
from headstart.store_key import code_version, computing, content_digest, of_example, preparing, weights_digest


class Network(nn.Module):
    def __init__(self, rate: float = 0.1) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(3))
        self.stem = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, eps=1e-5), nn.Dropout(rate))
        self.top = nn.Linear(3, 3)


STAGES = (Stage("stem", ("stem",), ("token",)), Stage("top", ("top",)))


def network(**options: Any) -> Network:
    torch.manual_seed(0)
    return Network(**options)


def nudge(tensor: torch.Tensor) -> None:
    """By one unit in the last place."""
    with torch.no_grad():
        tensor.view(-1)[0] = torch.nextafter(tensor.view(-1)[0], torch.tensor(9.0))


CHANGES: dict[str, Callable[[Any], object]] = {
    "a weight": lambda found: nudge(found.stem[0].weight),
    "a loose parameter": lambda found: nudge(found.token),
    "a running mean": lambda found: nudge(found.stem[1].running_mean),
    "a precision": lambda found: found.stem[0].half(),
    "the epsilon of a norm": lambda found: setattr(found.stem[1], "eps", 1e-3),
    "a module": lambda found: found.stem.append(nn.ReLU()),
    "the order of modules": lambda found: setattr(found, "stem", nn.Sequential(found.stem[1], found.stem[0], found.stem[2])),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_weights_up_to_the_boundary_are_the_key(change):
    changed = network()
    change(changed)
    assert weights_digest(changed, STAGES[:1]) != weights_digest(network(), STAGES[:1])


def test_weights_above_the_boundary_are_not():
    changed = network()
    nudge(changed.top.weight)
    assert weights_digest(changed, STAGES[:1]) == weights_digest(network(), STAGES[:1])
    assert weights_digest(changed, STAGES) != weights_digest(network(), STAGES)


def test_modes_and_gradients_do_not_count():
    changed = network().eval().requires_grad_(False)
    assert weights_digest(changed, STAGES) == weights_digest(network(), STAGES)


SCRIPT = """
import sys
from headstart.plugins import registry
from headstart.recipe import Part
from headstart.store_key import preparing, weights_digest, code_version
backbone = registry().find("backbone", "tiny/words").load()()
print(preparing(backbone, Part("tiny/words", {"width": 8})), weights_digest(backbone.network, backbone.stages))
"""


def test_the_key_is_the_same_in_every_process(tiny: ModuleType):
    command = [sys.executable, "-c", SCRIPT]
    backbone = tiny.Words()
    here = f"{preparing(backbone, Part('tiny/words', {'width': 8}))} {weights_digest(backbone.network, backbone.stages)}\n"
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout == here


def test_class_and_distribution_stand_in_the_key_options_and_places_only_as_a_digest(tiny: ModuleType):
    told = preparing(tiny.Words(), Part("tiny/words", {"weights": "/home/smith_john/model"}))
    assert told.startswith("tiny_parts:Words no distribution ")
    assert "smith" not in told


def test_options_card_and_what_a_backbone_says_itself_are_in_the_key(tiny: ModuleType, monkeypatch: pytest.MonkeyPatch):
    backbone = tiny.Words()
    plain = preparing(backbone, Part("tiny/words"))
    assert preparing(backbone, Part("tiny/words", {"dropout": 0.3})) != plain
    assert preparing(backbone, Part("other/words")) != plain
    backbone.card = WeightsCard(source="elsewhere")
    assert preparing(backbone, Part("tiny/words")) != plain
    backbone = tiny.Words()
    monkeypatch.setattr(tiny.Words, "reading", lambda self: "another vocabulary")
    assert preparing(backbone, Part("tiny/words")) != plain


def import_anew(folder: Path, source: str) -> Any:
    """The class `Part` of a package `changing` with this source in a module beside it."""
    for name in [name for name in sys.modules if name.startswith("changing")]:
        del sys.modules[name]
    store_key._source.cache_clear()  # as in another process
    package = folder / "changing"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("class Part: pass\n")
    (package / "beside.py").write_text(source)
    import importlib

    importlib.invalidate_caches()
    return importlib.import_module("changing").Part()


def test_a_change_of_the_plugins_source_is_another_key(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    first = preparing(import_anew(tmp_path, "SIZE = 224\n"))
    assert preparing(import_anew(tmp_path, "SIZE = 224\n")) == first
    assert preparing(import_anew(tmp_path, "SIZE = 225\n")) != first


def test_code_without_a_file_is_refused():
    namespace: dict[str, Any] = {"__name__": "typed_in"}
    exec("class Part: pass", namespace)  # as in a console
    with pytest.raises(StoreError, match="the code of 'typed_in' is in no file"):
        preparing(namespace["Part"]())


def test_versions_of_what_computes_and_prepares_are_told():
    from headstart_vision.backbones.lite import EfficientNetLite0

    told = code_version(EfficientNetLite0(weights="none"))
    for name in ("headstart", "torch", "numpy", "headstart-vision", "torchvision", "pillow"):
        assert f"{name} {metadata.version(name)}" in told.split(", ")


def test_computing_tells_precision_exactness_and_steps():
    cpu = Compute(torch.device("cpu"))
    told = computing(cpu, exact=True)
    assert told.startswith("cpu, ")
    others = {
        computing(cpu, exact=False),
        computing(cpu, exact=False, steps=("62 BatchNorms folded",)),
        computing(replace(cpu, bf16=True), exact=True),
    }
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    others.add(computing(cpu, exact=True))
    torch.set_float32_matmul_precision(before)
    assert len(others - {told}) == 4
    assert computing(cpu, exact=True) == told


plain = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.0, 1.0, 0.5])
    | st.text(max_size=3)
    | st.binary(max_size=3)
)
nested = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
)


def exactly(value: Any) -> str:
    """The value with its types; mappings without their order."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name!r}: {exactly(value[name])}' for name in sorted(value))}}}"
    return f"[{', '.join(map(exactly, value))}]" if isinstance(value, list) else repr(value)


@given(nested, nested)
def test_contents_are_equal_where_their_digests_are(first, second):
    assert (content_digest(first) == content_digest(second)) == (exactly(first) == exactly(second))


def test_files_count_by_their_bytes_and_not_by_their_name(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (content_digest(tmp_path / name) for name in "abc")
    assert a == b != c
    assert content_digest(str(tmp_path / "a"), modality="image") == a  # a picture may be named by a text
    assert content_digest(str(tmp_path / "a")) != a  # a text is a text
    assert content_digest(tmp_path / "absent") is None
    (tmp_path / "a").write_bytes(b"2")
    assert content_digest(tmp_path / "a") == c


def test_arrays_count_by_dtype_shape_and_bytes():
    array = np.arange(6, dtype=np.float32)
    digests = [
        content_digest(other) for other in (array, array.reshape(2, 3), array.astype(np.float64), array.view(np.int32), -array)
    ]
    assert len(set(digests)) == 5
    assert content_digest(np.asfortranarray(array.reshape(2, 3))) == digests[1]
    assert content_digest(torch.arange(6.0)) != content_digest(torch.arange(6.0).bfloat16())
    assert content_digest(np.array([object()])) is None


def test_pictures_in_memory_count_by_pixels_and_palette():
    Image = pytest.importorskip("PIL.Image")
    grey = Image.new("P", (2, 2), 1)
    same, other = grey.copy(), grey.copy()
    other.putpalette([9, 9, 9] * 256)
    assert content_digest(grey) == content_digest(same) != content_digest(other)


class Own:
    def content(self) -> bytes:
        return b"mine"


def test_an_input_may_tell_its_content_and_others_cannot_be_told():
    assert content_digest(Own()) == content_digest(Own()) is not None
    for unknown in (object(), {1, 2}, [object()], {"a": object()}, {1: "a"}):
        assert content_digest(unknown) is None


def test_surrogates_and_very_long_texts_have_a_digest():
    assert content_digest("\udc80") not in (None, content_digest("\udc81"))
    assert content_digest("x" * 100_000, modality="image") is not None
    assert content_digest("a\0b", modality="image") is not None


def test_an_augmented_view_belongs_to_one_example():
    assert of_example("c", "1") != of_example("c", "2") != of_example("d", "2")
    assert of_example(None, "1") is None
