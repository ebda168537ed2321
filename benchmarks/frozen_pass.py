"""Pictures and sentences a second through a frozen network: plain, folded, channels-last, compiled; pages given back or kept.

    python benchmarks/frozen_pass.py            about 10 minutes on two cores, half of it compiling
    python benchmarks/frozen_pass.py --quick    without compiling

Every figure is the median of passes that are interleaved with those of the other variants; a variant that keeps pages
(`headstart.device.keep_pages`) cannot give them back in the same process, so that both run in processes in turn.
Wall time says what a quiet machine gives, CPU-seconds what the work costs; on a busy machine only ratios of the latter count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from headstart.compiling import compile_stages, silence
from headstart.device import Compute, keep_pages
from headstart.optimise import optimised
from headstart.plugins import registry

NETWORKS = {"vision/efficientnet-lite0": {}, "vision/resnet18": {"weights": "none"}, "nlp/encoder": {}}
BATCH, ROUNDS = 16, 3
SENTENCE = "a film of few words whose quiet scenes stay with you for longer than most loud ones do"
CPU = Compute(torch.device("cpu"))

Pass = Callable[[], Any]


def variants(name: str, *, may_compile: bool) -> dict[str, Pass]:
    """The passes to compare, by name; each over one batch."""
    backbone = registry().find("backbone", name).load()(**NETWORKS[name]).eval().requires_grad_(False)
    if name.startswith("nlp"):
        batch = backbone.prepare([SENTENCE] * BATCH)
        return {"plain": lambda: backbone(batch)}
    batch = {"pixels": torch.randn(BATCH, 3, backbone.expects.size, backbone.expects.size)}

    def quick() -> Any:
        return optimised(backbone, batch, compute=CPU, examples=BATCH, may_compile=False)

    folded, last = quick(), quick()
    for weight in folded.backbone.parameters():
        weight.data = weight.data.contiguous()
    passes: dict[str, Pass] = {
        "plain": lambda: backbone(batch),
        "folded": lambda: folded.backbone(batch),
        "channels-last": lambda: last.backbone(last.prepare_batch(batch)),
    }
    if may_compile:
        compiled = quick()
        started = time.perf_counter()
        with silence(), torch.inference_mode():
            compile_stages(compiled.backbone.network, compiled.backbone.stages)
            compiled.backbone(compiled.prepare_batch(batch))
        print(f"{name}: compiling took {time.perf_counter() - started:.0f} s", file=sys.stderr)
        passes["compiled"] = lambda: compiled.backbone(compiled.prepare_batch(batch))
    return passes


def measure(passes: Mapping[str, Pass]) -> dict[str, list[tuple[float, float]]]:
    """(wall seconds, CPU-seconds) of each pass in each round; a first round warms up and is dropped."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in passes}
    with torch.inference_mode():
        for _ in range(ROUNDS + 1):
            for name, run in passes.items():
                wall, cpu = time.perf_counter(), time.process_time()
                run()
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: rounds[1:] for name, rounds in times.items()}


def child(name: str, *, kept: bool, may_compile: bool) -> None:
    """Measure one network in this process and print the times as JSON."""
    if kept:
        keep_pages()
    print(json.dumps(measure(variants(name, may_compile=may_compile))))


def compare(name: str, *, may_compile: bool) -> None:
    """Measure one network in two pairs of processes and print its table."""
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for pages in ("given back", "kept", "given back", "kept"):
        command = [
            sys.executable,
            __file__,
            "--child",
            name,
            *(["--kept"] * (pages == "kept")),
            *(["--quick"] * (not may_compile)),
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        for variant, rounds in json.loads(done.stdout).items():
            times.setdefault((variant, pages), []).extend(rounds)
    print(f"\n{name}, batches of {BATCH}\n{'':14} {'pages':>10} {'a second':>9} {'CPU-ms each':>12} {'times plain':>12}")
    costs = {key: statistics.median(cpu for _, cpu in rounds) / BATCH for key, rounds in times.items()}
    for (variant, pages), rounds in sorted(times.items(), key=lambda entry: entry[0][1]):
        speed = BATCH / statistics.median(wall for wall, _ in rounds)
        gain = costs["plain", "given back"] / costs[variant, pages]
        print(f"{variant:14} {pages:>10} {speed:9.1f} {1000 * costs[variant, pages]:12.1f} {gain:12.2f}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="without compiling")
    parser.add_argument("--child", choices=list(NETWORKS), help=argparse.SUPPRESS)
    parser.add_argument("--kept", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, kept=options.kept, may_compile=not options.quick)
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in NETWORKS:
        compare(name, may_compile=not options.quick)


if __name__ == "__main__":
    main()
