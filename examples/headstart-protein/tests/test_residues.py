from __future__ import annotations

import numpy as np
import pytest
import torch
from headstart import Prediction, Target, errors

from headstart_protein.residues import Residues, residue_scores

TARGET = Target("residues", ("C", "E", "H"))
PORTS = {"pooled": 4, "tokens": 4, "mask": 1}


def batch(*lengths: int):
    generator = torch.Generator().manual_seed(0)
    longest = max(lengths)
    mask = torch.arange(longest) < torch.tensor(lengths).unsqueeze(1)
    tokens = torch.randn(len(lengths), longest, 4, generator=generator).masked_fill(~mask.unsqueeze(-1), 0.0)
    return {"tokens": tokens, "mask": mask}


def test_a_prediction_has_a_label_for_each_residue_that_was_read():
    predictions = Residues(PORTS, TARGET).predict(batch(5, 2))
    assert [len(p.value) for p in predictions] == [5, 2]
    assert all(label in TARGET.labels for p in predictions for label in p.value)
    assert [len(p.details["sure"]) for p in predictions] == [5, 2]


def test_padding_and_unlabelled_residues_do_not_count():
    head = Residues(PORTS, TARGET)
    features = batch(4, 2)
    whole = head.loss(features, [tuple("HE-C"), tuple("CH")])["cross_entropy"]
    changed = {**features, "tokens": features["tokens"].clone()}
    changed["tokens"][0, 2], changed["tokens"][1, 2:] = 9.0, 9.0
    assert torch.equal(whole, head.loss(changed, [tuple("HE-C"), tuple("CH")])["cross_entropy"])


def test_halves_of_a_batch_add_up_to_it():
    head = Residues(PORTS, TARGET)
    features, targets = batch(6, 3), [tuple("HHEECC"), tuple("CEH")]
    parts = [head.loss({port: value[at : at + 1] for port, value in features.items()}, targets[at : at + 1]) for at in (0, 1)]
    mean = sum(part["cross_entropy"] for part in parts) / 2
    assert torch.allclose(head.loss(features, targets)["cross_entropy"], mean)


def test_a_protein_without_any_label_has_a_finite_loss_of_zero():
    assert Residues(PORTS, TARGET).loss(batch(3), [tuple("---")])["cross_entropy"] == 0


def test_it_learns_what_the_vectors_say():
    torch.manual_seed(0)
    head = Residues(PORTS, TARGET)
    features = batch(*[20] * 8)
    targets = [tuple("CEH"[int(row[:3].argmax())] for row in rows) for rows in features["tokens"]]
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        head.loss(features, targets)["cross_entropy"].backward()
        optimizer.step()
    assert head.score(head.predict(features), targets)["accuracy_residues"] > 0.95


def test_rare_labels_weigh_more_where_asked_for():
    head = Residues(PORTS, TARGET, class_weights="balanced")
    head.settle([tuple("CCCCCCEE-")])
    assert head.class_weight.tolist() == pytest.approx([8 / 18, 8 / 6, 1.0])


def test_scores_are_those_of_scikit_learn():
    from sklearn.metrics import accuracy_score, f1_score

    rng = np.random.default_rng(0)
    truth = ["".join(rng.choice(list("CEH"), 30)) for _ in range(10)]
    said = ["".join(rng.choice(list("CEH"), 30)) for _ in range(10)]
    scores = Residues(PORTS, TARGET).score([Prediction(tuple(one)) for one in said], [tuple(one) for one in truth])
    flat = list("".join(truth)), list("".join(said))
    assert scores["accuracy_residues"] == pytest.approx(accuracy_score(*flat))
    assert scores["macro_f1"] == pytest.approx(f1_score(*flat, average="macro"))


def test_counts_of_a_bootstrap_repeat_whole_proteins():
    head = Residues(PORTS, TARGET)
    predictions, targets = [Prediction(tuple("HH")), Prediction(tuple("EEEE"))], [tuple("HC"), tuple("EEEE")]
    assert head.score(predictions, targets, np.array([3, 1]))["accuracy_residues"] == pytest.approx(7 / 10)
    assert head.score(predictions, targets, np.array([0, 0])) == {}


def test_residues_behind_the_cut_count_as_wrong():
    head = Residues(PORTS, TARGET)
    assert head.score([Prediction(tuple("HH"))], [tuple("HHEE")])["accuracy_residues"] == 0.5
    assert residue_scores(np.zeros((3, 4))) == {}


def test_what_cannot_be_learnt_is_refused():
    with pytest.raises(errors.DataError, match="nothing to tell apart"):
        Residues(PORTS, Target("residues", ("H",)))
    with pytest.raises(errors.DataError, match="the label 'Q' does not occur"):
        Residues(PORTS, TARGET).loss(batch(2), [("H", "Q")])
    with pytest.raises(errors.UsageError, match="dropout"):
        Residues(PORTS, TARGET, dropout=1.0)
