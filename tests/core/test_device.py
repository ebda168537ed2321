"""Memory pages that are kept from batch to batch, and memory that is free."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from headstart.device import free_memory, keep_pages

FAULTS = """
import resource, statistics, torch
from headstart.device import give_back_pages, keep_pages

def faults():
    found = []
    for _ in range(40):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(10_000_000)  # 40 MB, above the size from which glibc maps every block anew
        found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return statistics.median(found[20:])  # in the first rounds the heap finds its size: aligned blocks leave scraps beside them

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

print(faults(), keep_pages(), faults(), resident() - (give_back_pages() or resident()))
"""


@pytest.mark.skipif(not keep_pages(), reason="needs glibc, whose memory this is about")
def test_freed_memory_is_used_again_without_page_faults_and_can_be_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, is_kept, after, given_back = done.stdout.split()
    assert is_kept == "True"
    assert float(before) > 10  # with huge pages fewer than the 10,000 of 4 KB each
    assert float(after) < float(before) / 10
    assert int(given_back) > 30e6


def test_free_memory_is_told_in_bytes() -> None:
    assert 1 << 20 < free_memory(torch.device("cpu")) <= 1 << 62
