"""Kill a small run at random times, let it go on, kill it again, until it ends; then compare it with the undisturbed run.

    python benchmarks/soak_kill.py --kills 1000

A run thaws its network stage by stage, with dropout, BatchNorm, an average of the weights, a store on disk and a checkpoint
every third step. It counts as lost where it does not end with exit code 0, as a mismatch where weights, scores, predictions,
curves or the ledger differ in one bit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "core"))

from resuming import RECIPE, Children, differing

MOST_SECONDS = 600.0  # for a run that nobody kills


def soak(kills: int, seed: int, place: Path) -> dict[str, float]:
    """Carry out so many kills, of as many runs as it takes."""
    generator = random.Random(seed)
    children = _children(place)
    children.run("first")  # the server takes its time to start
    started = time.perf_counter()
    code, undisturbed = children.run("undisturbed")
    if code:
        raise SystemExit(f"the undisturbed run failed:\n{children.log}")
    longest = time.perf_counter() - started
    found = {"kills": 0, "runs": 0, "lost": 0, "mismatches": 0}
    while found["kills"] < kills:
        name = f"run{found['runs']}"
        found["runs"] += 1
        ended, folder = 1, None
        while ended:
            is_last, began = found["kills"] >= kills, time.perf_counter()
            ended = _one(children, name, folder, None if is_last else generator.uniform(0, longest))
            if ended == 0 and folder is None:  # a whole run that was too quick to be killed
                longest = min(longest, time.perf_counter() - began)
            folder = _folder(place / name) or folder
            found["kills"] += ended == -signal.SIGKILL
            if ended == -signal.SIGKILL and folder is not None and _has_finished(folder):
                ended = 0  # killed after its last word: to resume it says so, and clears up
                children.resume(folder)
            if ended not in (0, -signal.SIGKILL):
                found["lost"] += 1
                print(children.log[-3000:], file=sys.stderr)
                break
        if ended == 0 and folder is not None and differing(undisturbed, folder):
            found["mismatches"] += 1
            print(f"{folder} differs in {differing(undisturbed, folder)}", file=sys.stderr)
        elif ended == 0:
            shutil.rmtree(place / name)
        shutil.rmtree(place / f"{name}-cache", ignore_errors=True)
        print(
            f"{found['kills']} kills, {found['runs']} runs, {found['lost']} lost, {found['mismatches']} mismatches", flush=True
        )
    children.close()
    return {**found, "seconds": round(time.perf_counter() - started, 1)}


def _one(children: Children, name: str, folder: Path | None, seconds: float | None) -> int:
    """Start the run or let it go on, and kill it after so many seconds if it has not ended by then."""
    place = children.place
    run = ("quietly", "run", place / "recipe.yaml", place / name)
    given = ("quietly", "resume", folder) if folder is not None else run
    process = children.start(*given, cache=f"{name}-cache")
    code = children.wait(process, MOST_SECONDS if seconds is None else seconds)
    if code is None:
        os.kill(process, signal.SIGKILL)
        code = children.wait(process)
    return 1 if code is None else code


def _folder(place: Path) -> Path | None:
    """The run's folder, once it can be resumed; one that was killed before is thrown away, as a person would."""
    for path in place.iterdir() if place.is_dir() else ():
        if path.is_symlink():
            continue
        if (path / "checkpoints" / "run.json").exists() or (path / "metrics.json").exists():
            return path
        shutil.rmtree(path)
    return None


def _has_finished(folder: Path) -> bool:
    return (folder / "metrics.json").exists() and not (folder / "checkpoints" / "run.json").exists()


def _children(place: Path) -> Children:
    rows = [f"{'warm clever' if at % 2 else 'dull grey'} film {at},{'good' if at % 2 else 'bad'}" for at in range(64)]
    (place / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (place / "recipe.yaml").write_text(RECIPE.format(path=place / "rows.csv"), encoding="utf-8")
    return Children(place)


def main() -> None:
    """Parse the command line and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for the runs that differ; default: a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = given.out or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        print(json.dumps(soak(given.kills, given.seed, place)))


if __name__ == "__main__":
    main()
