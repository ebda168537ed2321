"""What README.md says of your own proteins: its recipe and its commands, as they stand, on sequences made here."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

PAGE = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
RECIPE = re.search(r"<!-- file: mine.yaml -->\n```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"(?<!-->\n)^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
PRESENT = {(distribution.metadata["Name"] or "").lower() for distribution in metadata.distributions()}


@pytest.mark.skipif("antiberty" not in PRESENT, reason="pip install antiberty==0.1.3")
def test_the_commands_for_your_own_proteins_run_as_they_stand(tmp_path):
    rng = np.random.default_rng(0)
    favoured = {"helix": list("AELMQKRH"), "sheet": list("VIYCWFT")}
    rows = [f">p{at}{kind} class={kind}\n{''.join(rng.choice(favoured[kind], 24))}\n" for at in range(24) for kind in favoured]
    (tmp_path / "proteins.fasta").write_text("".join(rows), encoding="utf-8")
    (tmp_path / "new.fasta").write_text(">a\nAELMQKRHAELMQKRH\n>b\nVIYCWFTVIYCWFT\n", encoding="utf-8")
    assert RECIPE
    (tmp_path / "mine.yaml").write_text(RECIPE[1], encoding="utf-8")
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HEADSTART_CACHE": str(tmp_path / "cache")}
    lines = [line for block in COMMANDS for line in block.splitlines() if line.strip()]
    assert len(lines) == 3
    for line in lines:
        call = [sys.executable, "-m", *shlex.split(line, comments=True)]
        done = subprocess.run(call, cwd=tmp_path, env={**os.environ, **offline}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    found = (tmp_path / "labelled.csv").read_text(encoding="utf-8")
    assert "helix" in found
    assert "sheet" in found
    baselines = (tmp_path / "runs/latest/metrics.json").read_text(encoding="utf-8")
    assert "tfidf-logistic" in baselines
