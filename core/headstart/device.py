"""Where and in which precision a run computes: decided once, said in the run."""

from __future__ import annotations

import ctypes
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from headstart.errors import UsageError
from headstart.recipe import TrainPlan

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


@dataclass(frozen=True)
class Compute:
    """A device and the precision of its forward passes."""

    device: torch.device
    bf16: bool = False

    @property
    def pass_tokens(self) -> int:
        """Padded tokens per batch where nothing is learnt.

        On two AVX2 cores MiniLM needs 5.6 CPU-seconds for 600 sentences at 512 to 2,048 tokens a batch, 6.4 at 4,096 and 9.6
        at 16,384 (its activations leave the cache); a GPU wants large batches.
        """
        return 65536 if self.device.type == "cuda" else 1024

    @property
    def train_tokens(self) -> int:
        """Padded tokens per forward and backward pass where the backbone trains; a batch of more is parted.

        A GPU's 16,384 are 32 texts of 512 tokens. SQuAD in batches of 32 has one of 58,976 tokens in each epoch, because a few
        contexts take five windows.
        """
        return 16384 if self.device.type == "cuda" else 4096

    @property
    def pass_examples(self) -> int:
        """Examples per batch where nothing is learnt and all cost the same (pictures).

        EfficientNet-Lite0 needs 14 to 16 s for 256 pictures on one core in batches of 16, 28 to 31 s in batches of 32 and 34
        to 67 s in one of 256, most of the difference in page faults.
        """
        return 256 if self.device.type == "cuda" else 16

    def autocast(self) -> AbstractContextManager[object]:
        """The context for forward passes; losses are computed in float32 by the heads."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if self.bf16 else nullcontext()


def choose(plan: TrainPlan) -> Compute:
    """The device and precision that a plan asks for.

    Raises:
        UsageError: The device is not there, or bf16 is asked for where it would be emulated.
    """
    device = _device(plan.device)
    if device.type == "cpu":
        keep_pages()
    if plan.precision == "bf16" and not has_bf16(device):
        raise UsageError(f"train.precision: this {device.type} only emulates bf16, about 50 times slower; use float32 or auto")
    return Compute(device, bf16=plan.precision == "bf16" or (plan.precision == "auto" and has_bf16(device)))


def has_bf16(device: torch.device) -> bool:
    """Whether the hardware computes bf16 natively (measured: emulated on AVX2, it is 50 times slower than float32)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) if device.type == "cpu" else False


def keep_pages() -> bool:
    """Let glibc keep freed memory for the next batch instead of giving it back to the system; says whether it does.

    Activations of a batch are tens of megabytes each; by default every one is mapped and zeroed page by page anew.
    EfficientNet-Lite0 at 224 px in batches of 16, one thread of an AMD EPYC virtual machine, median CPU-ms per picture of
    four passes by default and like this: plain forward 32 to 52 -> 29 (95,000 page faults a pass -> 0), the optimised copy
    24 to 30 -> 22, forward and backward 197 to 208 -> 132 to 146 (284,000 faults -> 0); peak memory is the same.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt  # of glibc; others have none, or one that does nothing
    except (OSError, AttributeError, TypeError):
        return False
    # numbers of malloc.h; older glibc take at most half a heap, 32 MiB, as the size from which blocks are mapped
    is_kept = any(mallopt(M_MMAP_THRESHOLD, size) == 1 for size in (1 << 30, 32 << 20))
    return is_kept and mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1) == 1


def give_back_pages() -> None:
    """Return freed memory to the system after all, such as that of a backbone that is no longer needed."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device now; unlimited where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 1 << 62


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"train.device: '{name}' is not usable here ({str(error).splitlines()[0]}); use auto or cpu"
        ) from error
    return torch.device(name)
