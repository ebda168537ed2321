"""Real processes for the tests of kills: a server has everything imported and forks them, so that each starts at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

HERE = Path(__file__).parent

RECIPE = """
name: moods
data: {{use: table, path: "{path}", text: text, label: label}}
backbone: tiny/words
strategy: {{use: gradual, head_epochs: 2, epochs: 2}}
split: {{test: 0.25, val: 0.25}}
baselines: none
train: {{device: cpu, store: disk, ema: 0.5, batch_size: 8, micro_batch: 4, checkpoint: 3}}
"""


@dataclass
class Children:
    """Starts command lines of headstart in processes of their own.

    Attributes:
        place: Folder with recipe.yaml; also gets logs and caches.
    """

    place: Path
    _server: subprocess.Popen[str] | None = field(default=None, repr=False)

    def close(self) -> None:
        """The server ends."""
        if self._server is not None and self._server.stdin is not None:
            self._server.stdin.close()
            self._server.wait(60)

    def start(self, *args: object, fault: str = "", cache: str = "cache", memory: int | None = None) -> int:
        """Start one; its output goes to `log`, and it may take so many more bytes of memory. Returns the process's number."""
        given = {"args": [str(arg) for arg in args], "fault": fault, "cache": str(self.place / cache), "memory": memory}
        return int(self._ask({**given, "log": str(self.place / "log")}))

    def wait(self, number: int, seconds: float = 120) -> int | None:
        """Exit code of a process, negative = the signal that killed it; None = it has not ended in that time."""
        code: int | None = self._ask({"wait": number, "seconds": seconds})
        return code

    def call(self, *args: object, fault: str = "", cache: str = "cache", memory: int | None = None) -> int:
        """Run one to its end; its exit code."""
        code = self.wait(self.start(*args, fault=fault, cache=cache, memory=memory))
        assert code is not None, f"{args} did not end"
        return code

    def _ask(self, asked: dict[str, Any]) -> Any:
        if self._server is None:
            variables = {"HEADSTART_PLUGIN_FILES": str(HERE / "tiny_parts.py"), "OMP_NUM_THREADS": "1"}
            command = [sys.executable, str(HERE / "resuming_server.py")]
            pipe = subprocess.PIPE
            self._server = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env={**os.environ, **variables})
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def run(self, name: str, *overrides: str, fault: str = "", recipe: str = "recipe.yaml") -> tuple[int, Path]:
        """Run the recipe with a cache and a folder of runs of its own; exit code, and the run's folder."""
        given = ("quietly", "run", self.place / recipe, self.place / name, *overrides)
        code = self.call(*given, fault=fault, cache=f"{name}-cache")
        return code, self.folder(name)

    def folder(self, name: str) -> Path:
        """The only run of that name."""
        [folder] = [path for path in (self.place / name).iterdir() if path.is_dir() and not path.is_symlink()]
        return folder

    def resume(self, folder: Path, *overrides: str, fault: str = "") -> int:
        """Let a run go on."""
        return self.call("quietly", "resume", folder, *overrides, fault=fault, cache=f"{folder.parent.name}-cache")

    @property
    def log(self) -> str:
        """What all of them printed."""
        path = self.place / "log"
        return path.read_text() if path.exists() else ""


KILLED = -signal.SIGKILL


def results(folder: Path) -> dict[str, Any]:
    """Everything of a run that must be the same, to the bit: weights, scores, predictions, curves, what moved when."""
    model = json.loads((folder / "model" / "manifest.json").read_text())
    metrics = json.loads((folder / "metrics.json").read_text())
    predictions = pq.read_table(folder / "predictions.parquet").to_pylist()
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    ledger = json.loads((folder / "ledger.json").read_text())
    timed = {"executions", "floor"}  # what a stopped run had to compute again is counted again
    return {
        "model": model,
        "metrics": metrics,
        "predictions": predictions,
        "epochs": [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in epochs],
        "ledger": {key: value for key, value in ledger.items() if key not in timed},
        "files": sorted(path.name for path in folder.iterdir()),
    }


def differing(first: Path, second: Path) -> list[str]:
    """Which of the results of two runs are not equal."""
    one, other = results(first), results(second)
    return [name for name, value in one.items() if value != other[name]]
