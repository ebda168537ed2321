"""Memory that ran out, told from other errors. No torch, so that the command line can ask."""

from __future__ import annotations

import errno
import mmap
from contextlib import ExitStack, closing

SPARE = 1 << 24  # bytes that the rest of the process needs meanwhile
# of CUDA, of torch's allocator on the CPU, of the system, of C++, and of the system where a thread's stack finds no room
WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "std::bad_alloc", "can't start new thread")
TORCH = "OutOfMemoryError"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, torch or the system says that the memory ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == TORCH:
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in WORDS)


def claim(size: int, copies: int) -> None:
    """Make sure that some copies of so many bytes find room, before code that does not come back where they do not.

    `safetensors.serialize` holds two copies of what it writes; where one is refused, Rust ends the process, or waits for ever.
    The room is asked for and given back at once: pages that nobody touches cost nothing.

    Raises:
        OSError: There is no room for them (ENOMEM).
    """
    with ExitStack() as held:
        for length in (*[size] * copies, SPARE):
            if length:
                held.enter_context(closing(mmap.mmap(-1, length)))


def too_little(error: BaseException) -> str:
    """What is said where nothing smaller can be tried."""
    lines = str(error).splitlines()
    return (
        f"the memory does not suffice ({lines[0] if lines else type(error).__name__}); end other programs or raise the limit "
        "(`ulimit -v`), or ask for less: a smaller train.batch_size, smaller inputs, a smaller network, train.store: disk"
    )
