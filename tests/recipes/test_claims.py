"""What the README says of the demo, run in full: it beats its baseline, and thawing beats the probe."""

from __future__ import annotations

import json
import os

import pytest

pytestmark = pytest.mark.slow  # trains the encoder on 500 reviews and tests on 2,000: two to three minutes on two cores


@pytest.fixture(scope="module")
def runs(demo_packages, headstart, tmp_path_factory):
    """Metrics and folder of the three recipes, each run once, in full."""
    out, threads = tmp_path_factory.mktemp("runs"), str(os.cpu_count() or 1)

    def run(name: str) -> dict:
        done = headstart("run", f"recipes/nlp/{name}.yaml", "--out", out / name, "--json", OMP_NUM_THREADS=threads)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return {name: run(name) for name in ("sentiment", "sentiment-probe", "sentiment-gradual")}


def test_the_demo_beats_tfidf_with_logistic_regression(runs):
    difference = runs["sentiment"]["differences"]["tfidf-logistic"]["accuracy"]
    assert difference["low"] > 0, difference
    assert difference["n"] >= 1000


def test_gradual_thawing_beats_the_probe(runs, headstart):
    done = headstart("compare", runs["sentiment-gradual"]["run"], runs["sentiment-probe"]["run"], "--json")
    assert done.returncode == 0, done.stderr
    comparison = json.loads(done.stdout)
    assert comparison["examples"]["shared"] >= 1000
    assert comparison["scores"]["accuracy"]["difference"]["low"] > 0, comparison["scores"]["accuracy"]
