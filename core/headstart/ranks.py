"""Ranks: the processes that carry out one run together, as `torchrun` starts them, and what they tell each other.

The first process (rank 0) is the run: it writes the folder, validates, predicts, decides and reports. The others hold the same
model, take their slice of every batch, and follow. So nothing on disk and nothing in a checkpoint knows how many there are.

Why no DistributedDataParallel: it averages gradients of equal batches, so that a short last batch would weigh wrongly and a
process without a slice would have to make one up; it has to be made anew in every phase that thaws; and frozen stages that are
replayed never run inside it. One sum of one flat buffer after the backward pass needs none of this. What it costs: the sum does
not run beside the backward pass, and needs memory for one more copy of the gradients.

Small messages are JSON and weights are safetensors, never pickle.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from headstart.errors import LostError, UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor

    from headstart.stopping import Stop

TIMEOUT = timedelta(hours=12)
"""For one answer. A process that ends is noticed at once, by its closed connection or by torchrun; the others wait this long
while the first one evaluates and reports."""
NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")  # as torchrun sets them
LOOPBACK = "lo"


@dataclass(frozen=True)
class Ranks:
    """Who this process is among those of its run; one alone by default, which opens nothing and waits for nobody.

    Attributes:
        rank: From 0.
        size: How many there are.
        local: Rank on this machine, which is the number of its GPU.
        local_size: How many there are on this machine.
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that decides and writes."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there are no others."""
        return self.size == 1

    def part(self, indices: Sequence[int]) -> list[int]:
        """This process's slice of a batch: contiguous, in the batch's order, none longer than another by more than one; empty
        where the batch has fewer examples than there are processes.
        """
        count = len(indices)
        return list(indices[count * self.rank // self.size : count * (self.rank + 1) // self.size])

    def holding(self, stop: Stop) -> AbstractContextManager[None]:
        """Let signals wait until all processes have heard of them (see `headstart.shared_step`); alone, they need not."""
        return nullcontext() if self.is_alone else stop.held()

    # what they tell each other: each of these is called by all of them, in the same order

    def share(self, value: Any = None) -> Any:
        """What the first process has, on all of them; plain JSON, NaN and infinity allowed."""
        if self.is_alone:
            return value
        return json.loads(self.share_bytes(json.dumps(value).encode() if self.is_first else b""))

    def share_bytes(self, content: bytes) -> bytes:
        """The bytes of the first process, on all of them."""
        if self.is_alone:
            return content
        import torch
        import torch.distributed as dist

        size = torch.tensor([len(content)])
        with self._talking():
            dist.broadcast(size, 0)
        buffer = (
            torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(int(size), dtype=torch.uint8)
        )
        with self._talking():
            dist.broadcast(buffer, 0)
        return buffer.numpy().tobytes()

    def gather(self, value: Any) -> list[Any]:
        """What each process has, by rank, on all of them; plain JSON."""
        if self.is_alone:
            return [value]
        import torch
        import torch.distributed as dist

        content = json.dumps(value).encode()
        sizes = torch.zeros(self.size, dtype=torch.int64)
        sizes[self.rank] = len(content)
        self.add(sizes)
        mine = torch.zeros(int(sizes.max()), dtype=torch.uint8)
        mine[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        every = [torch.empty_like(mine) for _ in range(self.size)]
        with self._talking():
            dist.all_gather(every, mine)
        return [json.loads(part[:size].numpy().tobytes()) for part, size in zip(every, sizes.tolist(), strict=True)]

    def add(self, tensor: Tensor) -> None:
        """Put the sum over all processes into a tensor; equal to the bit on all of them."""
        if not self.is_alone:
            import torch.distributed as dist

            with self._talking():
                dist.all_reduce(tensor)

    def check_equal(self, value: str, what: str) -> None:
        """Hold that all processes have the same.

        Raises:
            LostError: They have not.
        """
        found = self.gather(value)
        other = [str(rank) for rank, each in enumerate(found) if each != found[0]]
        if other:
            raise LostError(
                f"{what}: process {' and '.join(other)} of {self.size} differs from the first one; run it in one process"
            )

    @contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # of gloo and NCCL, in many words
            raise LostError(
                f"another process of this run has ended or does not answer, so process {self.rank} of {self.size} stops, too"
            ) from error


def of_environment(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Who this process is, as its launcher says.

    Raises:
        UsageError: The launcher says something that is no number.
    """
    if not all(name in environment for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")):
        return Ranks()
    try:
        rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        local, local_size = int(environment.get("LOCAL_RANK", rank)), int(environment.get("LOCAL_WORLD_SIZE", size))
    except ValueError as error:
        said = " ".join(f"{name}={environment.get(name)}" for name in NAMES)
        raise UsageError(f"the launcher said {said}, which must be numbers; start with torchrun -m headstart run") from error
    return Ranks(rank, size, local, local_size)


@contextmanager
def opened() -> Iterator[Ranks]:
    """Connect the processes of this run, if it has more than one, until the context is left.

    CPU tensors are summed by gloo, those of GPUs by NCCL. Where all processes are on one machine they talk over its loopback
    device, unless `GLOO_SOCKET_IFNAME` or `NCCL_SOCKET_IFNAME` says otherwise.

    Raises:
        LostError: The others do not come.
    """
    ranks = of_environment()
    if ranks.is_alone:
        yield ranks
        return
    import torch
    import torch.distributed as dist

    if ranks.local_size == ranks.size and LOOPBACK in (name for _, name in socket.if_nameindex()):
        for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(name, LOOPBACK)
    has_gpus = torch.cuda.is_available() and dist.is_nccl_available()
    if has_gpus and ranks.local < torch.cuda.device_count():
        torch.cuda.set_device(ranks.local)
    with ranks._talking():
        dist.init_process_group("cpu:gloo,cuda:nccl" if has_gpus else "gloo", timeout=TIMEOUT)
    yield ranks
    ranks.share()  # none leaves while another still talks to it
    dist.destroy_process_group()  # after an error it is left open: NCCL would wait there for those that have ended
