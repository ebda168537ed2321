from __future__ import annotations

import gzip

import pytest
from headstart import errors

from headstart_protein.table import ProteinTable

FASTA = """>p1 class=enzyme note
MKTAYIAKQR
QISFVKSHFS
>p2 class=toxin
GSHMLEUPVK*
>p3 class=enzyme
MKTAYIAKQRQISFVKSHFS
>p4
AAAAAAAA
"""


@pytest.fixture
def write(tmp_path):
    def put(name: str, text: str):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return put


def test_fasta_is_read_with_labels_from_its_headers(write):
    data = ProteinTable(path=write("p.fasta", FASTA))
    found = {example.id: (example.input, example.target) for example in data.examples()}
    assert found == {"p1": ("MKTAYIAKQRQISFVKSHFS", "enzyme"), "p2": ("GSHMLEXPVK", "toxin")}
    assert data.target.labels == ("enzyme", "toxin")
    facts = data.facts()
    assert facts["left_out"] == {"no label": 1, "a copy before them": 1}
    assert facts["replaced"] == 1


def test_a_packed_file_gives_the_same(write, tmp_path):
    plain = ProteinTable(path=write("p.fasta", FASTA)).examples()
    (tmp_path / "p.fasta.gz").write_bytes(gzip.compress(FASTA.encode()))
    assert ProteinTable(path=str(tmp_path / "p.fasta.gz")).examples() == plain


def test_strange_letters_follow_the_recipe(write):
    path = write("p.fasta", FASTA)
    assert [e.id for e in ProteinTable(path=path, unknown="drop").examples()] == ["p1"]
    with pytest.raises(errors.DataError, match=r"p\.fasta:4: 'U' at residue 7"):
        ProteinTable(path=path, unknown="error").examples()


def test_copies_with_contrary_labels_are_all_left_out(write):
    path = write("p.csv", "sequence,label\nACDEFGHIKL,a\nacdefghikl,b\nMNPQRSTVWY,a\n")
    data = ProteinTable(path=path)
    assert [example.input for example in data.examples()] == ["MNPQRSTVWY"]
    assert data.facts()["left_out"] == {"a copy with another label": 2}
    kept = ProteinTable(path=path, duplicates="keep").examples()
    assert [example.group for example in kept] == ["like p:1", "like p:1", "like p:3"]


def test_a_label_for_each_residue_loses_its_gaps_with_them(write):
    path = write("p.csv", "id,seq,label\na,MK-TA*,HHXEE-\nb,ACDE,H-EE\n")
    data = ProteinTable(path=path, kind="residues")
    assert [example.target for example in data.examples()] == [("H", "H", "E", "E"), ("H", "-", "E", "E")]
    assert data.target.labels == ("E", "H")


def test_labels_that_do_not_match_the_residues_name_the_line(write):
    with pytest.raises(errors.DataError, match=r"p\.csv:3: 3 labels for a sequence of 4"):
        ProteinTable(path=write("p.csv", "seq,label\nACDE,HHHH\nACDE,HHH\n"), kind="residues").examples()


def test_numbers_and_sets_of_labels(write):
    path = write("p.csv", "seq,tm,go\nACDEFG,48.5,b|a\nMNPQRS,51,\n")
    assert [e.target for e in ProteinTable(path=path, label="tm", kind="number").examples()] == [48.5, 51.0]
    sets = ProteinTable(path=path, label="go", kind="labels")
    assert [e.target for e in sets.examples()] == [("a", "b"), ()]
    assert sets.target.labels == ("a", "b")
    with pytest.raises(errors.DataError, match=r"p\.csv:2: the label 'b\|a' is no number"):
        ProteinTable(path=path, label="go", kind="number").examples()


def test_a_given_group_and_split_take_the_place_of_families(write):
    path = write("p.csv", "seq,label,family,part\nACDEFG,a,f1,train\nACDEFH,b,f2,test\n")
    found = ProteinTable(path=path, group="family", split="part").examples()
    assert [(e.group, e.meta["split"]) for e in found] == [("f1", "train"), ("f2", "test")]


@pytest.mark.parametrize(
    ("name", "text", "options", "message"),
    [
        ("p.fasta", "ACDE\n>a\nACDE\n", {}, r"p\.fasta:1: stands before the first header"),
        ("p.fasta", ">a class=x\nAC\n>a class=y\nAD\n", {}, r"p\.fasta:3: the id 'a' stands before"),
        ("p.fasta", ">a class=x\n>b class=y\nAD\n", {}, r"p\.fasta:1: the sequence is empty"),
        ("p.csv", "seq,label\nACDE,a\nACD\n", {}, r"p\.csv:3: 1 fields where the header has 2"),
        ("p.csv", "text,label\nACD,a\n", {}, r"no column looks like a sequence \(text, label\)"),
        ("p.csv", "seq,kind\nACD,a\n", {}, "nothing looks like a label"),
        ("p.csv", "seq,label\nACD,a\n", {"group": "clan"}, r"no 'clan' \(data\.group\)"),
        ("p.csv", "seq,label\nACD,a\n", {"label": "lable"}, r"no 'lable' \(data\.label\); did you mean 'label'"),
        ("p.txt", "ACD", {}, r"cannot read '\.txt'"),
    ],
)
def test_a_broken_file_is_an_error_that_names_the_place(write, name, text, options, message):
    with pytest.raises(errors.DataError, match=message):
        ProteinTable(path=write(name, text), **options).examples()


def test_new_inputs_are_read_as_training_reads(write):
    data = ProteinTable(path="absent.csv")
    assert data.read("mk-tu*") == data.read({"sequence": "mktu"}) == "MKTX"
    assert [e.input for e in data.open(write_path(write))] == ["MKTX", "ACDE"]
    with pytest.raises(errors.DataError, match="'U' at residue 4"):
        ProteinTable(path="absent.csv", unknown="drop").read("MKTU")
    with pytest.raises(errors.DataError, match="is a sequence of residues"):
        data.read(3)


def write_path(write):
    from pathlib import Path

    return Path(write("new.fasta", ">a\nMKTU\n>b\nACDE\n"))
