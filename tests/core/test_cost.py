"""The cost rule: memory, disk or live, from the figures of an offer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headstart.cost import Offer, decide

CHEAP = Offer("pooled", bytes=1e6, seconds=2.0, saved=4, examples=100)
LONG = replace(CHEAP, seconds=60.0)
BULKY = Offer("after stem", bytes=8e9, seconds=1.0, saved=4, examples=100)


@pytest.mark.parametrize(
    ("offer", "wish", "place", "why"),
    [
        (CHEAP, "auto", "memory", "spares about 20 ms per example 4 times"),
        (LONG, "auto", "disk", "spares about 6e+02 ms per example 4 times"),
        (replace(LONG, bytes=2e9), "auto", "memory", "spares"),
        (replace(CHEAP, bytes=50e9, seconds=1000.0), "auto", "disk", "spares"),
        (replace(CHEAP, saved=0), "auto", "live", "pooled would be used once only"),
        (replace(CHEAP, is_on_disk=True), "auto", "disk", "spares"),
        (BULKY, "auto", "live", "reading the values after stem would take longer than computing them"),
        (replace(BULKY, bytes=50e9), "memory", "live", "the values after stem would take 50.0 GB of memory"),
        (BULKY, "memory", "memory", "spares about 0 ms"),
        (CHEAP, "disk", "disk", "spares"),
        (CHEAP, "off", "live", "train.store is off"),
    ],
)
def test_each_offer_finds_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offer: Offer, wish: Any, place: str, why: str
) -> None:
    monkeypatch.setattr("headstart.cost.free_memory", lambda _device: 30e9)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 200e9}))
    decision = decide(offer, wish, disk=tmp_path / "not" / "made" / "yet")
    assert decision.place == place
    assert decision.why.startswith(why)


def test_where_examples_cannot_go_to_disk_memory_holds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decide(LONG, "disk", disk=None).place == "memory"
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 1e6}))
    assert decide(LONG, "disk", disk=tmp_path).place == "memory"
