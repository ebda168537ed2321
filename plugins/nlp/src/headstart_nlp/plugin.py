"""What headstart-nlp offers; importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from headstart.components import Component
from headstart.hookspecs import hookimpl


@hookimpl
def headstart_backbones() -> Iterator[Component]:
    """Text encoders."""
    yield Component(
        "nlp/encoder",
        "headstart_nlp.encoder:Encoder",
        "any transformers encoder by folder or hub id@revision; default MiniLM-L6 (22.7 M), offline; Wang et al. 2020",
        licence="Apache-2.0",
        megabytes=90.9,
    )
