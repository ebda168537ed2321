"""Memory that ran out, told from other errors. No torch, so that the command line can ask."""

from __future__ import annotations

import errno

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


def too_little(error: BaseException) -> str:
    """What is said where nothing smaller can be tried."""
    lines = str(error).splitlines()
    return (
        f"the memory does not suffice ({lines[0] if lines else type(error).__name__}); end other programs or raise the limit "
        "(`ulimit -v`), or ask for less: a smaller train.batch_size, smaller inputs, a smaller network, train.store: disk"
    )
