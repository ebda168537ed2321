"""Feeds by split: what stays frozen is computed once and kept where the cost rule says, what trains runs live."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from headstart.ahead import default_workers
from headstart.cost import Decision, Offer, Place, decide
from headstart.data import Data
from headstart.example import Example
from headstart.feed import Feed, LiveFeed, StoredFeed
from headstart.floor import Floor, Units
from headstart.freezing import is_backbone_frozen
from headstart.keeping import Wanted, is_begun, open_rows
from headstart.layout import channels_first, channels_last
from headstart.loop import Training
from headstart.measuring import floor_of, metered
from headstart.mixing import MixedFeed
from headstart.model import HEAD
from headstart.outlook import Ahead, boundaries
from headstart.passing import Pairs, Pass, Quick
from headstart.prefix import frozen_prefix
from headstart.prefix_feed import PrefixFeed, Proof, Recomputed, prove
from headstart.recipe import Recipe
from headstart.rows import MemoryRows
from headstart.store import DiskRows
from headstart.store_folder import StoreError, stores_root
from headstart.tally import Tally


@dataclass
class Feeds:
    """One feed per split, for the model as it stands and trains now.

    Attributes:
        training: The model, and how it trains.
        data: Augments training views.
        splits: Examples by name of the split.
        recipe: What the parts were made from; None = nothing is kept on disk.
        asked: Gives the examples that a disk store lacked when it was first filled, and those that it lacks now.
        tally: What really ran.
    """

    training: Training
    data: Data
    splits: dict[str, Sequence[Example]]
    recipe: Recipe | None = None
    asked: Callable[[str, Sequence[int]], Sequence[int]] = lambda _, indices: indices
    tally: Tally = field(init=False)
    _coming: Sequence[Ahead] = ()
    _kept: dict[tuple[str, str], StoredFeed | PrefixFeed] = field(default_factory=dict)
    _refused: dict[tuple[str, str], str] = field(default_factory=dict)
    _proofs: dict[tuple[str, tuple[str, ...]], Proof] = field(default_factory=dict)
    _quick: Quick | None = None
    _moved: set[str] = field(default_factory=set)
    _places: dict[tuple[str, str], Decision] = field(default_factory=dict)  # (split, boundary) -> what was decided

    def __post_init__(self) -> None:
        self.tally = Tally(self.training.model.stage_names)

    # what training asks

    def count(self) -> None:
        """Count the operations of an example of usual size, or of two where sizes differ, so that the work of the run is known.

        From then on a network of convolutions computes with channels last, where its code lets it.
        """
        live, network = self._live("train"), self.training.model.backbone.network
        number = 1 if len(set(live.sizes)) == 1 else 2
        middle = sorted(range(len(live.examples)), key=lambda index: live.sizes[index])[len(live.examples) // 2 :][:number]
        if not middle:
            return
        is_last = not self.training.plan.exact and channels_last(network)
        self.tally.meter = metered(live, middle)
        if self.tally.meter is None and is_last:  # code that takes a tensor's layout for granted
            channels_first(network)
            self.tally.meter = metered(live, middle)
        self.tally.forward(live.units(middle), len(middle))

    def begin(self, coming: Sequence[Ahead]) -> None:
        """Hear of the phase that begins and of those after it; its parameters are trainable already."""
        self._coming = coming
        self._refused.clear()
        self._places = {key: decision for key, decision in self._places.items() if decision.place != "live"}
        self.tally.trains = {name for name, weight in self.training.model.weights().items() if weight.requires_grad}

    def get(self, split: str) -> Feed:
        """The feed of a split."""
        model, device = self.training.model, self.training.compute.device
        boundary = self._boundary()
        kept = self._kept.get((split, boundary))
        if isinstance(kept, StoredFeed) and not self._is_mixed(split):
            return kept
        model.backbone.network.to(device)  # it may have been sent to rest
        if self._is_mixed(split):
            return self._mixed(boundary)
        found = kept or (self._made(split, boundary) if boundary and self.splits[split] else None)
        return found or self._live(split)

    def stored(self, split: str) -> list[str]:
        """What is stored of a split now: the head's ports, the stage after which values are replayed, or nothing."""
        feed = self._kept.get((split, self._boundary()))
        if feed is None or self._is_mixed(split):
            return []
        return [feed.stage] if isinstance(feed, PrefixFeed) else list(self.training.model.head.stored_ports)

    def rest(self) -> None:
        """The backbone leaves the device while only stored ports are read."""
        read = [split for split in ("train", "val") if self.splits[split]]
        is_stored = all(isinstance(self._kept.get((split, HEAD)), StoredFeed) for split in read)
        if self.training.compute.device.type == "cuda" and is_stored and self._boundary() == HEAD:
            self._quick = None
            self.training.model.backbone.network.to("cpu")

    def forget(self, moved: set[str]) -> None:
        """Drop what is no longer true: the named stages changed."""
        names = self.training.model.stage_names
        lowest = min((names.index(name) for name in moved), default=len(names))
        for split, boundary in list(self._kept):
            if lowest < len(names) and (boundary == HEAD or names.index(boundary) >= lowest):
                del self._kept[split, boundary]
        for split, boundary in list(self._places):
            if lowest < len(names) and (boundary == HEAD or names.index(boundary) >= lowest):
                del self._places[split, boundary]
        if moved:
            self._moved |= moved
            self._quick = None
            self._proofs.clear()

    def as_json(self) -> dict[str, Any]:
        """What was decided and counted so far, for a run that goes on after it was stopped."""
        places = [[*key, decision.place, decision.why] for key, decision in self._places.items()]
        return {"places": places, "tally": self.tally.as_json()}

    def go_on(self, saved: Mapping[str, Any]) -> None:
        """Take up what `as_json` gave."""
        self._places = {(split, boundary): Decision(place, why) for split, boundary, place, why in saved["places"]}
        self.tally.go_on(saved["tally"])

    def floor(self, entries: Sequence[Mapping[str, Any]]) -> Floor | None:
        """The work of the whole run over the least possible; None where it could not be counted."""
        if self.tally.meter is None:
            return None
        live = self.data.augments and not self.training.plan.views
        views = max((entry["epochs"] for entry in entries if not entry["stored"]), default=1) if live else 0
        sums = {split: self._live(split).units(range(len(examples))) for split, examples in self.splits.items()}
        units = Units(sums["train"], sums["val"], sums["test"], views=max(1, views, self._view_count("train")))
        return floor_of(self.training, self.tally.meter, entries, units)

    # what is stored

    def _boundary(self) -> str:
        """The stage up to which nothing trains: "" = not even the first, "head" = all are frozen."""
        if is_backbone_frozen(self.training.model):
            return HEAD
        prefix = frozen_prefix(self.training.model)
        return prefix.stage if prefix else ""

    def _made(self, split: str, boundary: str) -> Feed | None:
        """Store the boundary's values and, on the way, those of lower ones that later phases will read."""
        plan = self.training.plan
        if plan.store == "off" and not (plan.exact and boundary != HEAD):
            return None
        moving = self._why_moving(split)
        if moving and boundary != HEAD:
            self._say_live(split, boundary, moving)
            return None
        wanted = boundaries(self.training.model, self._coming) or {boundary: 1}
        wanted.setdefault(boundary, 1)
        for (other, name), known in self._places.items():  # of a run that goes on: the same boundaries as before it was stopped
            if other == split and known.place != "live":
                wanted.setdefault(name, 1)
        names = [*self.training.model.stage_names, HEAD]
        chain = [name for name in names if name in wanted and names.index(name) <= names.index(boundary)]
        chain = [HEAD] if moving else chain
        proof = self._proof(split, tuple(name for name in chain if name != HEAD))
        for name in chain:
            if (split, name) not in self._kept:
                self._keep(split, name, wanted[name], proof, is_on_the_way=name != boundary)
        return self._kept.get((split, boundary))

    def _why_moving(self, split: str) -> str:
        """Why the value between two stages is another one in every epoch; empty where it stays the same."""
        if split != "train" or not self.data.augments:
            return ""
        if not self.training.plan.views:
            return "every epoch sees new views; train.views keeps some"
        is_ragged = len(set(self._live(split).sizes)) > 1
        return "augmented views may differ in length from their examples" if is_ragged else ""

    def _keep(self, split: str, boundary: str, epochs: int, proof: Proof, *, is_on_the_way: bool) -> None:
        if boundary in proof.refused:
            if not is_on_the_way:
                self._say_live(split, boundary, proof.refused[boundary])
            return
        offer = self._offer(split, boundary, epochs, proof, is_on_the_way=is_on_the_way)
        live, pattern = self._live(split), proof.patterns.get(boundary)
        wanted = [Wanted(live, split, boundary, pattern, view) for view in self._views(split)]
        disk = None if self.recipe is None or self._is_own(boundary) else stores_root()
        if self.recipe is not None and disk is not None and self.training.plan.store == "auto":
            offer = replace(offer, is_on_disk=is_begun(self.training, self.data, self.recipe, wanted[0]))
        known = self._places.get((split, boundary))  # a run that goes on does as it did: its clock may tell other things now
        decision = known or decide(offer, self.training.plan.store, disk=disk)
        self._places[split, boundary] = decision
        if decision.place != "live":
            self._store(wanted, decision, proof)
        elif not is_on_the_way:
            self._say_live(split, boundary, decision.why)
            if self.training.plan.exact and pattern is not None:  # the values that a store would hold, computed anew each time
                views = [Recomputed(live, pattern, view) for view in self._views(split)]
                self._kept[split, boundary] = PrefixFeed(live, pattern, views)

    def _is_own(self, boundary: str) -> bool:
        """Whether something up to the boundary has been trained: no other run has such values."""
        names = self.training.model.stage_names
        return bool(self._moved & set(names if boundary == HEAD else names[: names.index(boundary) + 1]))

    def _store(self, wanted: Sequence[Wanted], decision: Decision, proof: Proof) -> None:
        live, split, boundary, pattern = wanted[0].live, wanted[0].split, wanted[0].boundary, wanted[0].pattern
        views = [self._rows(each, decision.place) for each in wanted]
        ports = self.training.model.head.stored_ports
        feed = StoredFeed(live, ports, views) if pattern is None else PrefixFeed(live, pattern, views)
        self._kept[split, boundary] = feed
        self._say_stored(split, boundary, decision, proof, views)

    def _say_stored(
        self, split: str, boundary: str, decision: Decision, proof: Proof, views: Sequence[MemoryRows | DiskRows]
    ) -> None:
        ports, quick = list(self.training.model.head.stored_ports), self._quick.made if self._quick else None
        facts: dict[str, Any] = {"ports": ports} if boundary == HEAD else {"after": boundary}
        if boundary in proof.patterns and proof.patterns[boundary].compact:
            facts["error"] = proof.error[boundary]
        if quick is not None and quick.steps:
            facts["network"] = [*quick.steps, f"differs by {quick.difference:.1e}"]
        self.training.tell(
            "stored",
            split=split,
            examples=len(self.splits[split]),
            views=len(views),
            computed=sum(rows.computed for rows in views),
            place="disk" if all(isinstance(rows, DiskRows) for rows in views) else "memory",
            megabytes=round(sum(rows.nbytes for rows in views) / 1e6, 1),
            why=decision.why,
            **facts,
        )

    def _rows(self, wanted: Wanted, place: Place) -> MemoryRows | DiskRows:
        live, ports = wanted.live, self.training.model.head.stored_ports
        first = Pass(live, self._quick_network(), self._below(wanted.split, wanted.boundary), wanted.view)

        def build(indices: Sequence[int]) -> Pairs:
            key = f"{wanted.split} {wanted.boundary} {wanted.view}"
            passing = replace(first, among=self.asked(key, indices)) if place == "disk" else first
            return passing.ports(ports, indices) if wanted.pattern is None else passing.boundary(wanted.pattern, indices)

        if place == "disk" and self.recipe is not None:
            try:
                return open_rows(self.training, self.data, self.recipe, wanted, build)
            except StoreError as error:
                self.training.tell("warning", message=f"{error}; goes on in memory")
        return MemoryRows(build(range(len(live.examples))))

    def _below(self, split: str, boundary: str) -> PrefixFeed | None:
        """The highest stored boundary below one: a pass goes on from there."""
        names = [*self.training.model.stage_names, HEAD]
        lower = [name for name in names[: names.index(boundary)] if isinstance(self._kept.get((split, name)), PrefixFeed)]
        found = self._kept[split, lower[-1]] if lower and not self.training.plan.exact else None
        return found if isinstance(found, PrefixFeed) else None

    def _views(self, split: str) -> list[int | None]:
        """Numbers of the training views that are stored; [None] = the plain one."""
        views = self._view_count(split)
        return list(range(1, views + 1)) if views else [None]

    def _view_count(self, split: str) -> int:
        head = self.training.model.head
        return self.training.plan.views if split == "train" and self.data.augments and head.by_gradient else 0

    # figures

    def _proof(self, split: str, stages: tuple[str, ...]) -> Proof:
        key = (split if stages else "", stages)  # what a pass costs is the same for all splits
        if key not in self._proofs:
            self._proofs[key] = prove(self._live(split), stages, compact=self.training.plan.compact)
        return self._proofs[key]

    def _offer(self, split: str, boundary: str, epochs: int, proof: Proof, *, is_on_the_way: bool) -> Offer:
        live, views = self._live(split), max(1, self._view_count(split))
        units = live.units(range(len(live.examples))) * views
        size = proof.port_bytes if boundary == HEAD else proof.bytes[boundary]
        where = ", ".join(self.training.model.head.stored_ports) if boundary == HEAD else f"after {boundary}"
        spared = epochs if is_on_the_way or boundary == HEAD else epochs - views
        return Offer(where, size * units, proof.seconds * self._share(boundary) * units, spared, len(live.examples))

    def _share(self, boundary: str) -> float:
        """Share of a forward pass that lies up to a boundary, by operations where they were counted."""
        names, meter = self.training.model.stage_names, self.tally.meter
        if boundary == HEAD:
            return 1.0
        whole = meter.network.forward(upto=names[-1]) if meter else 0.0
        if meter and whole:
            return meter.network.forward(upto=boundary) / whole
        return (names.index(boundary) + 1) / len(names)

    # the rest

    def _quick_network(self) -> Quick:
        if self._quick is None:
            plan = self.training.plan
            examples = sum(len(examples) for examples in self.splits.values())
            self._quick = Quick(examples * max(1, plan.views), plan.compile == "auto", plan.exact)
        return self._quick

    def _live(self, split: str) -> LiveFeed:
        training, plan = self.training, self.training.plan
        return LiveFeed(
            training.model,
            self.data,
            self.splits[split],
            training.compute,
            seed=plan.seed,
            exact=plan.exact,
            views=self._view_count(split),
            workers=default_workers() if plan.workers is None else plan.workers,
            tally=self.tally,
        )

    def _is_mixed(self, split: str) -> bool:
        return split == "train" and self.training.plan.mix != "none"

    def _mixed(self, boundary: str) -> MixedFeed:
        """Training batches mixed in every step, which no store can hold."""
        if boundary:
            self._say_live("train", boundary, "train.mix makes new pictures in every step")
        return MixedFeed(self._live("train"), self.training.plan)

    def _say_live(self, split: str, boundary: str, why: str) -> None:
        if (split, boundary) not in self._refused:
            after = (HEAD, *self.training.model.stage_names)[-1] if boundary == HEAD else boundary
            self.training.tell("live", split=split, after=after, why=why)
            self._refused[split, boundary] = why
