"""A tokenizer that changes under the same name makes another key for stored features."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from headstart.recipe import Part
from headstart.store_key import preparing
from headstart_nlp.encoder import Encoder


def key(folder: Path) -> str:
    return preparing(Encoder(weights=str(folder)), Part("nlp/encoder", {"weights": str(folder)}))


def test_a_changed_vocabulary_or_setting_is_another_key(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny("bert"), folder)
    before = key(folder)
    assert key(folder) == before
    tokenizer = folder / "tokenizer.json"
    plain = tokenizer.read_text()
    tokenizer.write_text(plain.replace('"film"', '"fiml"', 1))
    changed = key(folder)
    assert changed != before
    tokenizer.write_text(plain)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-3}))
    assert len({key(folder), changed, before}) == 3
