"""Pairs of texts: read from a table, both texts or none, and learnt by the heads that know labels and numbers."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.fit import fit
from headstart.recipe_file import recipe_from_mapping
from headstart.run import load
from headstart_nlp.pairs import Pairs

ROWS = 'premise,hypothesis,label,who\nIt rains. ,It is wet.,yes,a\n"NA",No.,no,b\nLost,,no,c\n,Gone,yes,d\n'
COLUMNS = {"first": "premise", "second": "hypothesis", "label": "label"}
THINGS = ("dog", "train", "apple", "song", "river", "winter", "doctor", "window")


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(ROWS, "utf-8")
    return path


def test_rows_with_both_texts_become_pairs_and_the_others_are_told(table):
    data = Pairs(path=str(table), **COLUMNS, group="who")
    first, second = data.examples()
    assert first.input == ("It rains.", "It is wet.")
    assert second.input == ("NA", "No.")
    assert (first.target, first.group) == ("yes", "a")
    assert data.target.labels == ("no", "yes")
    facts = data.facts()
    assert "1 rows have an empty hypothesis" in facts["warnings"][0]
    assert facts["dropped"] == {"empty text": 1}


def test_a_new_pair_is_a_pair_or_a_mapping(table):
    data = Pairs(path=str(table), **COLUMNS)
    assert data.read((" a", "b ")) == data.read({"premise": "a", "hypothesis": "b"}) == ("a", "b")
    with pytest.raises(DataError, match="premise and hypothesis"):
        data.read("one text")
    assert [e.input for e in data.open(table)] == [("It rains.", "It is wet."), ("NA", "No.")]


def test_without_any_whole_row_it_stops(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("a,b,label\nx,,yes\n,y,no\n", "utf-8")
    with pytest.raises(DataError, match="no row has both texts"):
        Pairs(path=str(path), first="a", second="b", label="label").examples()


def test_labels_may_be_numbers(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("a,b,label\nx,y,1.5\nz,w,4\n", "utf-8")
    data = Pairs(path=str(path), first="a", second="b", label="label", kind="number")
    assert data.target.kind == "number"
    assert [e.target for e in data.examples()] == [1.5, 4.0]


def test_broken_rows_count_once_against_the_budget(tmp_path, caplog, budget):
    broken, max_bad, is_read = budget
    path = tmp_path / "p.csv"
    lines = [f"a {number},b {number},{'three' if number < broken else number}" for number in range(100)]
    path.write_text("\n".join(["first,second,label", *lines]), "utf-8")
    data = Pairs(path=str(path), first="first", second="second", label="label", kind="number", max_bad=max_bad)
    if not is_read:
        with pytest.raises(DataError, match=rf"{broken} of 100 rows cannot be read, over the budget .* {path}:2: "):
            data.examples()
        return
    assert [e.input for e in data.examples()] == [(f"a {number}", f"b {number}") for number in range(broken, 100)]
    assert len(data.facts().get("quarantined", {})) == broken
    assert caplog.text.count("are left out") == (broken > 0)


def write_pairs(path, count, seed):
    """The second text is about the same thing as the first, or about another."""
    rng = np.random.default_rng(seed)
    lines = ["first\tsecond\tlabel"]
    for at in range(count):
        one, two = rng.choice(THINGS, size=2, replace=False)
        label, thing = ("same", one) if at % 2 == 0 else ("other", two)
        lines.append(f"The {one} was number {at}.\tThey talked about a {thing} {rng.integers(999)} times.\t{label}")
    path.write_text("\n".join(lines), "utf-8")
    return str(path)


@pytest.mark.slow  # MiniLM is fine-tuned in earnest, for half a minute
def test_a_run_learns_what_two_texts_are_to_each_other(tmp_path):
    data = {
        "use": "nlp/pairs",
        "path": write_pairs(tmp_path / "train.tsv", 128, 0),
        "test": write_pairs(tmp_path / "test.tsv", 40, 1),
        "first": "first",
        "second": "second",
        "label": "label",
    }
    strategy = {"use": "full", "lr": 3e-4, "epochs": 4}
    parts = {"data": data, "backbone": "nlp/pair-encoder", "head": "linear", "strategy": strategy}
    run = fit(recipe_from_mapping(parts), tmp_path / "runs", quiet=True)
    score = run.metrics["test"]["accuracy"]["value"]
    assert score > 0.7
    again = load(run.folder)
    assert again.evaluate(tmp_path / "test.tsv")["test"]["accuracy"]["value"] == pytest.approx(score)
    assert again.predict([("The dog was here.", "They talked about a dog 3 times.")])[0].value in ("same", "other")
