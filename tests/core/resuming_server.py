"""A server that has everything imported and forks a process for each line it is sent; started by `resuming.py`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROWS = "\n".join(f"word{at} {'warm' if at % 2 else 'cold'},{'good' if at % 2 else 'bad'}" for at in range(24))


def warm_up() -> None:
    """One small run, so that everything which is imported late is there."""
    import torch

    import headstart.resume  # noqa: F401 - imported for the processes to come
    from headstart.fit import fit
    from headstart.recipe_file import recipe_from_mapping

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        os.environ["HEADSTART_CACHE"] = name
        file = Path(name) / "rows.csv"
        file.write_text(f"text,label\n{ROWS}\n", encoding="utf-8")
        data = {"use": "table", "path": str(file), "text": "text", "label": "label"}
        plans = {"strategy": {"use": "full", "epochs": 1}, "train": {"device": "cpu", "store": "disk"}, "baselines": "none"}
        recipe = recipe_from_mapping({"data": data, "backbone": "tiny/words", "split": {"test": 8, "val": 4}, **plans})
        fit(recipe, Path(name) / "runs", report=False, quiet=True)


def child(asked: dict[str, Any]) -> int:
    """One command line of headstart, with its faults; all that it prints goes to the log."""
    import signal

    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ["HEADSTART_CACHE"] = asked["cache"]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from headstart import faults
    from headstart.cli.main import execute

    faults.arm(asked["fault"])
    if asked["memory"] is not None:
        bound(asked["memory"])
    args = asked["args"]
    return quietly(args[1:]) if args[0] == "quietly" else execute(args)


def bound(more: int) -> None:
    """Let this process map so many bytes beyond those that it has; a limit of the system itself."""
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more,) * 2)


def quietly(args: list[str]) -> int:
    """`run RECIPE OUT OVERRIDES` or `resume RUN OVERRIDES` without the report, which takes longer than all the rest."""
    from headstart.fit import fit
    from headstart.recipe import Recipe
    from headstart.resume import resume
    from headstart.stopping import stopping_in_order

    with stopping_in_order() as stop:
        if args[0] == "run":
            fit(Recipe.load(args[1], args[3:]), Path(args[2]), report=False, stop=stop)
        else:
            lock = Path(args[1]) / "recipe.lock.yaml"
            resume(Path(args[1]), asked=Recipe.load(lock, args[2:]) if args[2:] else None, report=False, stop=stop)
    return 0


def fork(asked: dict[str, Any]) -> int:
    """Number of the process that carries it out."""
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        code = child(asked)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(number: int, seconds: float) -> int | None:
    """Exit code of a process, negative = the signal that killed it; None = it has not ended in that time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(number, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def main() -> None:
    """Answer lines of JSON until there are no more."""
    warm_up()
    for line in sys.stdin:
        asked = json.loads(line)
        answer = wait(asked["wait"], asked["seconds"]) if "wait" in asked else fork(asked)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
