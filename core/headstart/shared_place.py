"""A checkpoint that the first process read, given to the others: their disks need not hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safetensors.torch import load, save

from headstart.memory import claim
from headstart.ranks import Ranks
from headstart.resume_folder import Saved


def shared(ranks: Ranks, saved: Saved | None) -> Saved | None:
    """What the first process found (None = nothing to go on from), on all of them."""
    if ranks.is_alone:
        return saved
    facts = ranks.share(None if saved is None else dict(saved.facts))
    claim(0 if saved is None else sum(tensor.nbytes for tensor in saved.tensors.values()), copies=2)
    content = ranks.share_bytes(b"" if saved is None else save(dict(saved.tensors)))
    if facts is None:
        return None
    if not ranks.is_first:  # what was counted before is the first one's to report
        facts["feeds"]["tally"] = _nothing(facts["feeds"]["tally"])
    return Saved(facts, load(content))


def _nothing(tally: Mapping[str, Any]) -> dict[str, Any]:
    return {"executions": dict.fromkeys(tally["executions"], 0), "meter": tally["meter"] and [0.0, 0.0]}
