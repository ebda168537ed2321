"""A contest: programs that do the same work, each in a process of its own, in turn, measured by the system.

Every contestant prints one line of JSON as its last: `score` (of the same examples) and `own`, CPU-seconds after imports.
What counts is CPU-seconds of the whole process or without imports (both are printed), user and system time of all
threads, so that other work on the machine changes them little; peak memory is the largest resident size.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
HOME = Path.home() / ".cache/headstart-benchmarks/rivals"
RIVALS = (
    "timm==1.0.31", "fastai==2.8.12", "lightning==2.6.6", "transformers==5.23.0", "accelerate==1.15.0", "scikit-learn==1.9.1"
)  # fmt: skip
TORCH = ("torch==2.14.1", "torchvision==0.29.1")  # those of the project: other versions would not be compared with it
DATA = Path(os.environ.get("HEADSTART_SHARED_DATA", HERE.parents[1] / "shared/data"))


@dataclass
class Contestant:
    """A program and what it took in each round.

    Attributes:
        name: For the table.
        command: Program and arguments.
    """

    name: str
    command: Sequence[str]
    rounds: list[dict[str, Any]] = field(default_factory=list)

    def run(self, environment: Mapping[str, str]) -> None:
        """Run it once.

        Raises:
            SystemExit: It failed; its last lines are shown.
        """
        with subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment}
        ) as process:
            assert process.stdout is not None
            lines = process.stdout.read().strip().splitlines()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{self.name} failed:\n" + "\n".join(lines[-20:]))
        found = json.loads(lines[-1])
        self.rounds.append({**found, "whole": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss / 1024})
        print(f"  {self.name}: {self.rounds[-1]}", flush=True)

    def of(self, name: str) -> float:
        """Median over the rounds."""
        return median(each[name] for each in self.rounds)


def rival_python(further: Sequence[str] = ()) -> str:
    """Python of the rivals' own environment, which is made where it is missing; `further` are packages that it gets as well."""
    python = HOME / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
    needed = "import fastai, lightning, timm, transformers, accelerate, sklearn"
    if subprocess.run([str(python), "-c", needed], check=False).returncode:
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *TORCH, *RIVALS], check=True)
    wanted = "import sys; from importlib.metadata import version; [version(each.split('==')[0]) for each in sys.argv[1:]]"
    if subprocess.run([str(python), "-c", wanted, *further], check=False, stderr=subprocess.DEVNULL).returncode:
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *TORCH, *RIVALS, *further], check=True)
    return str(python)


def hold(contestants: Sequence[Contestant], rounds: int, *, threads: int = 1) -> None:
    """Run all in turn, so often; then print the table, with ratios to the first."""
    environment = {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", flush=True)
        for contestant in contestants:
            contestant.run(environment)
    print(table(contestants, threads))


def table(contestants: Sequence[Contestant], threads: int) -> str:
    """Markdown: CPU-seconds, peak memory, score and the first contestant's share of each."""
    first = contestants[0]
    lines = [
        f"{_processor()}, {threads} thread(s) of {os.cpu_count()} cores; medians of {len(first.rounds)} round(s)",
        "",
        "| contestant | CPU-s without imports | ours / theirs | CPU-s whole process | ours / theirs | peak MB | score |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for each in contestants:
        own, whole = first.of("own") / each.of("own"), first.of("whole") / each.of("whole")
        figures = f"{each.of('own'):.1f} | {own:.3f} | {each.of('whole'):.1f} | {whole:.3f} | {each.of('peak'):,.0f}"
        lines.append(f"| {each.name} | {figures} | {each.of('score'):.4f} |")
    return "\n".join(lines)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
