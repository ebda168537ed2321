"""A model that calls everything the same is told of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headstart.collapse import collapsed
from headstart.example import Example
from headstart.fit import fit
from headstart.head import Prediction
from headstart.outcome import Outcome


def outcome(truth: str, said: str) -> Outcome:
    return Outcome("run", "val", [Example(str(i), None, one) for i, one in enumerate(truth)], [Prediction(one) for one in said])


@pytest.mark.parametrize(
    ("truth", "said", "is_told"),
    [("abababab", "aaaaaaaa", True), ("abababab", "aaaaaaab", False), ("aaaaaaaa", "aaaaaaaa", False), ("abab", "aaaa", False)],
)
def test_one_label_for_several_truths_is_told_where_there_are_enough(truth: str, said: str, is_told: bool) -> None:
    found = collapsed(outcome(truth, said))
    assert (found is not None) is is_told
    if found:
        assert found.startswith("every one of the 8 val examples is called 'a', though the truth has 2 labels (4 are right)")


def test_a_run_that_learnt_one_label_only_says_so(tiny: Any, make_recipe: Any, make_sentences: Any, tmp_path: Any) -> None:
    data = make_sentences(72)
    rows = data.rows
    train = [Example(row.id, row.input, "good" if at else "bad", meta={"split": "train"}) for at, row in enumerate(rows[:40])]
    rest = [Example(row.id, row.input, row.target, meta={"split": ("val", "test")[at % 2]}) for at, row in enumerate(rows[40:])]
    data.rows = [*train, *rest]
    recipe = make_recipe(tmp_path, strategy={"use": "probe", "epochs": 5, "lr": 0.1}, split={"by": "given"}, baselines="none")
    run = fit(recipe, tmp_path / "runs", data=data, report=False)
    events = [json.loads(line) for line in (run.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    told = [event["message"] for event in events if event["event"] == "warning"]
    assert [message.split(" is called")[0] for message in told if "collapsed" in message] == [
        f"every one of the 16 {split} examples" for split in ("val", "test")
    ]
