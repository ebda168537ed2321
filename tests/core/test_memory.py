"""Memory that runs out while tensors are written: an error that can be told; the library would end the process, or hang."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WRITING = """
import resource, sys
from pathlib import Path
import torch
from headstart.resume_folder import ResumeFolder, Saved
from headstart.store_shard import pack

kept, tensors = ResumeFolder(Path(sys.argv[1])), {str(at): torch.ones(3_000_000) for at in range(5)}
kept.path.mkdir()
rows = list(tensors.values())
writers = {
    "checkpoint": lambda: kept.write(Saved({"round": -1}, tensors)),
    "store": lambda: pack([bytes(16)] * 5, [[row] for row in rows], "key"),
}
used, hard = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize(), resource.RLIM_INFINITY
for name, write in writers.items():
    for megabytes in range(20, 400, 30):
        resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 10**6, hard))
        try:
            write()
            found = "written"
        except OSError as error:
            found = error.strerror
        except RuntimeError as error:
            found = "of torch" if "allocate memory" in str(error) else str(error)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        print(name, found)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS counts elsewhere in another way, or not at all")
def test_tensors_that_find_no_room_are_an_error_and_the_process_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITING, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for name in ("checkpoint", "store"):
        found = [line.removeprefix(f"{name} ") for line in lines if line.startswith(name)]
        assert set(found) - {"of torch"} == {"Cannot allocate memory", "written"}
        assert found[-1] == "written"
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]
