"""Heads: grades in order, findings that nobody knows, and attention over a bag; checked against formulas and scikit-learn."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, cohen_kappa_score, roc_auc_score

from headstart.builtin.heads_neural import MultiLabel
from headstart.errors import UsageError
from headstart.example import Example, Target
from headstart.head import Prediction
from headstart.outcome import Outcome
from headstart.plugins import registry
from headstart.scores import Remembered
from headstart_healthcare.clinical.evaluation import Clinical
from headstart_healthcare.heads.bag import Bag
from headstart_healthcare.heads.findings import Findings
from headstart_healthcare.heads.multilabel import KnownMultiLabel
from headstart_healthcare.heads.ordinal import Ordinal, grade_probabilities

GRADES = Target("class", ("none", "mild", "severe", "worst"))
FINDINGS = Target("labels", ("edema", "mass", "nodule"))


def drawn(count: int, width: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def train(head: Any, features: Any, targets: Sequence[Any], steps: int = 300) -> None:
    head.settle(targets)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(head.loss(features, targets).values()).backward()
        optimizer.step()


def test_the_heads_are_offered() -> None:
    names = registry().names("head")
    assert {"healthcare/ordinal", "healthcare/multilabel", "healthcare/bag"} <= set(names)


# grades


def test_the_ordinal_loss_is_the_papers() -> None:
    torch.manual_seed(0)
    head = Ordinal({"pooled": 6}, GRADES)
    features = drawn(3)
    with torch.no_grad():
        head.thresholds.copy_(torch.tensor([1.0, 0.0, -1.0]))
    targets = ["none", "severe", "worst"]
    above = np.array([[0, 0, 0], [1, 1, 0], [1, 1, 1]], dtype=float)
    logits = (features @ head.out.weight.detach().T).numpy() + np.array([1.0, 0.0, -1.0])
    share = 1 / (1 + np.exp(-logits))
    wanted = -(above * np.log(share) + (1 - above) * np.log(1 - share)).sum(axis=1).mean()  # Cao et al. 2020, equation 4
    assert float(head.loss({"pooled": features}, targets)["ordinal"]) == pytest.approx(wanted, rel=1e-5)


def test_an_ordinal_head_learns_an_order_and_errs_by_one_grade() -> None:
    torch.manual_seed(0)
    features = drawn(600)
    noisy = features[:, 0] + 0.15 * drawn(600, 1, seed=1)[:, 0]
    targets = [GRADES.labels[int(at)] for at in torch.bucketize(noisy, torch.tensor([-0.7, 0.1, 0.9]))]
    head = Ordinal({"pooled": 6}, GRADES)
    train(head, {"pooled": features}, targets)
    predictions = head.predict({"pooled": features})
    scores = head.score(predictions, targets)
    assert next(iter(scores)) == "quadratic_kappa"
    assert scores["quadratic_kappa"] > 0.9
    gaps = [abs(GRADES.labels.index(p.value) - GRADES.labels.index(t)) for p, t in zip(predictions, targets, strict=True)]
    assert max(gaps) == 1
    assert scores["mae"] == pytest.approx(np.mean(gaps))
    assert (torch.diff(head.thresholds) < 0).all(), "thresholds are in order, as the paper's theorem says"
    assert head.out.weight[0].abs().argmax() == 0


def test_ordinal_scores_equal_scikit_learns_and_follow_weights() -> None:
    generator = np.random.default_rng(0)
    targets = [GRADES.labels[at] for at in generator.integers(0, 4, 80)]
    predictions = Remembered([Prediction(GRADES.labels[at]) for at in generator.integers(0, 4, 80)])
    head = Ordinal({"pooled": 6}, GRADES)
    values = [prediction.value for prediction in predictions]
    weights = generator.integers(0, 3, 80).astype(float)
    for weight in (None, weights):
        wanted = cohen_kappa_score(targets, values, labels=list(GRADES.labels), weights="quadratic", sample_weight=weight)
        assert head.score(predictions, targets, weight)["quadratic_kappa"] == pytest.approx(wanted)
    assert "quadratic_kappa" not in head.score([Prediction("mild")] * 2, ["mild", "mild"])


def test_grade_probabilities_are_shares_even_before_thresholds_are_in_order() -> None:
    found = grade_probabilities(np.array([[0.9, 0.5, 0.2], [0.3, 0.8, 0.1]]))
    np.testing.assert_allclose(found, [[0.1, 0.4, 0.3, 0.2], [0.7, 0.0, 0.2, 0.1]])
    assert (found >= 0).all()


def test_the_order_of_grades_can_be_written_and_is_checked() -> None:
    target = Target("class", ("high", "low", "middle"))
    head = Ordinal({"pooled": 2}, target, order=["low", "middle", "high"])
    assert tuple(head.predict({"pooled": torch.zeros(1, 2)})[0].probabilities or {}) == ("low", "middle", "high")
    with pytest.raises(UsageError, match="must name each of the grades once: high, low, middle"):
        Ordinal({"pooled": 2}, target, order=["low", "high"])
    with pytest.raises(UsageError, match="at least two grades"):
        Ordinal({"pooled": 2}, Target("class", ("only",)))


def test_thresholds_begin_at_the_shares_of_the_training_examples() -> None:
    head = Ordinal({"pooled": 2}, GRADES)
    head.settle(["none"] * 50 + ["mild"] * 30 + ["severe"] * 20)
    (prediction,) = head.predict({"pooled": torch.zeros(1, 2)})
    assert list((prediction.probabilities or {}).values()) == pytest.approx([0.5, 0.3, 0.2, 0.0], abs=2e-3)


# findings


def test_findings_are_a_tuple_that_remembers_what_is_unknown() -> None:
    found = Findings(["edema"], ["mass"])
    assert found == ("edema",)
    assert hash(found) == hash(("edema",))
    for copied in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert copied == found
        assert copied.unknown == {"mass"}


def test_an_unknown_finding_counts_neither_in_the_loss_nor_in_the_gradient() -> None:
    torch.manual_seed(0)
    head = KnownMultiLabel({"pooled": 6}, FINDINGS)
    features = {"pooled": drawn(2)}
    known = [Findings(["edema"]), Findings(["mass"])]
    hidden = [Findings(["edema"], ["mass"]), Findings([], ["mass"])]
    head.loss(features, hidden)["binary_cross_entropy"].backward()
    assert head.out.weight.grad is not None
    assert (head.out.weight.grad[1] == 0).all()
    assert (head.out.weight.grad[0] != 0).any()
    full = head.loss(features, known)["binary_cross_entropy"]
    core = MultiLabel({"pooled": 6}, FINDINGS)
    core.load_state_dict(head.state_dict(), strict=False)
    assert float(full.detach()) == pytest.approx(float(core.loss(features, known)["binary_cross_entropy"].detach()))


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "focal"])
def test_a_batch_of_which_nothing_is_known_has_the_loss_zero_and_no_nan(loss: Any) -> None:
    head = KnownMultiLabel({"pooled": 6}, FINDINGS, loss=loss)
    head.settle([Findings(["edema"], ["mass"])])
    found = head.loss({"pooled": drawn(2)}, [Findings([], FINDINGS.labels)] * 2)[loss]
    found.backward()
    assert float(found.detach()) == 0
    assert head.out.weight.grad is not None
    assert (head.out.weight.grad == 0).all()


def test_micro_batches_add_up_to_the_batch_whatever_is_unknown() -> None:
    torch.manual_seed(0)
    head = KnownMultiLabel({"pooled": 6}, FINDINGS)
    targets = [Findings(["edema"], ["mass", "nodule"]), Findings(["nodule"]), Findings(["mass"], ["edema"]), Findings([])]
    head.settle(targets)
    features = drawn(4)
    whole = float(head.loss({"pooled": features}, targets)["binary_cross_entropy"].detach())
    parts = [head.loss({"pooled": features[at : at + 2]}, targets[at : at + 2])["binary_cross_entropy"] for at in (0, 2)]
    assert whole == pytest.approx(float(sum(parts).detach()) / 2)


def test_balanced_weights_count_only_those_of_which_it_is_known() -> None:
    head = KnownMultiLabel({"pooled": 6}, FINDINGS, label_weights="balanced")
    head.settle([Findings(["edema"]), Findings([]), Findings([], ["edema"]), Findings([]), Findings([], ["edema", "mass"])])
    assert head.positive_weight.tolist() == [2.0, 1.0, 1.0]


def test_scores_are_those_of_scikit_learn_over_what_is_known() -> None:
    generator = np.random.default_rng(0)
    truth, known, scores = generator.random((60, 3)) < 0.4, generator.random((60, 3)) < 0.7, generator.random((60, 3))
    labels = np.array(FINDINGS.labels)
    targets = [Findings(labels[t & k], labels[~k]) for t, k in zip(truth, known, strict=True)]
    rows = [dict(zip(FINDINGS.labels, map(float, row), strict=True)) for row in scores]
    predictions = Remembered([Prediction(tuple(label for label in row if row[label] >= 0.5), row) for row in rows])
    head = KnownMultiLabel({"pooled": 6}, FINDINGS)
    weights = generator.integers(0, 3, 60).astype(float)
    for weight in (np.ones(60), weights):
        found = head.score(predictions, targets, weight)
        sides = [(truth[known[:, k], k], scores[known[:, k], k], weight[known[:, k]]) for k in range(3)]
        assert found["auroc"] == pytest.approx(np.mean([roc_auc_score(t, s, sample_weight=w) for t, s, w in sides]))
        precisions = [average_precision_score(t, s, sample_weight=w) for t, s, w in sides]
        assert found["mean_average_precision"] == pytest.approx(np.mean(precisions))
    assert next(iter(found)) == "auroc"


def test_findings_that_are_wrong_only_where_nobody_knows_are_learnt_as_if_they_were_right() -> None:
    torch.manual_seed(0)
    features = drawn(300)
    truth = features[:, :3] > 0
    corrupt = torch.rand(300, 3, generator=torch.Generator().manual_seed(5)) < 0.5
    labels = np.array(FINDINGS.labels)
    targets = [Findings(labels[t & ~c], labels[c]) for t, c in zip(truth.numpy(), corrupt.numpy(), strict=True)]
    right = {}
    for name, kind in (("known", KnownMultiLabel), ("core", MultiLabel)):
        head = kind({"pooled": 6}, FINDINGS)
        train(head, {"pooled": features}, targets)
        called = np.array([[label in p.value for label in FINDINGS.labels] for p in head.predict({"pooled": features})])
        right[name] = float((called == truth.numpy()).mean())
    assert right["known"] > 0.95
    assert right["core"] < 0.8


def test_the_clinical_evaluation_reads_both_heads() -> None:
    torch.manual_seed(0)
    features = drawn(80)
    grades = [GRADES.labels[int(at)] for at in torch.bucketize(features[:, 0], torch.tensor([-0.7, 0.1, 0.9]))]
    findings = [Findings(np.array(FINDINGS.labels)[row], ["mass"] if row[0] else []) for row in (features[:, :3] > 0).numpy()]
    for head, targets in (
        (Ordinal({"pooled": 6}, GRADES), grades),
        (KnownMultiLabel({"pooled": 6}, FINDINGS), findings),
    ):
        train(head, {"pooled": features}, targets, steps=50)
        meta = [{"unknown": tuple(getattr(target, "unknown", ()))} for target in targets]
        examples = [Example(str(at), None, target, None, meta[at]) for at, target in enumerate(targets)]
        outcome = Outcome("run", "val", examples, head.predict({"pooled": features}))
        settled = Clinical().settle(outcome, head.target)
        assert set(settled["questions"]) == set(head.target.labels)


# bags


def test_attention_ignores_what_is_not_there_and_the_order_does_not_matter() -> None:
    torch.manual_seed(0)
    head = Bag({"tokens": 6, "mask": 1}, Target("class", ("a", "b"))).eval()
    tokens, mask = drawn(2 * 5).view(2, 5, 6), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    shares = head.attention({"tokens": tokens, "mask": mask})
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2))
    assert (shares[0, 3:] == 0).all()
    wild = tokens.clone()
    wild[0, 3:] = 1e6
    for other in ({"tokens": wild, "mask": mask}, {"tokens": tokens[:, :3], "mask": mask[:, :3]}):
        assert torch.allclose(head.outputs(other)[0], head.outputs({"tokens": tokens, "mask": mask})[0], atol=1e-6)
    order = torch.tensor([2, 0, 1, 3, 4])
    turned = {"tokens": tokens[:, order], "mask": mask[:, order]}
    torch.testing.assert_close(head.outputs(turned), head.outputs({"tokens": tokens, "mask": mask}))


def test_a_bag_learns_from_one_telling_instance_and_names_it() -> None:
    torch.manual_seed(0)
    tokens, targets = drawn(120 * 9, 8).view(120, 9, 8) * 0.5, ["sick" if at % 3 else "well" for at in range(120)]
    places = torch.randint(0, 9, (120,), generator=torch.Generator().manual_seed(2))
    for at, (place, target) in enumerate(zip(places, targets, strict=True)):
        tokens[at, place, 0] += 6.0 if target == "sick" else 0.0
    features = {"tokens": tokens, "mask": torch.ones(120, 9, dtype=torch.long)}
    head = Bag({"tokens": 8, "mask": 1}, Target("class", ("sick", "well")), hidden=16)
    train(head, features, targets)
    predictions = head.eval().predict(features)
    assert np.mean([p.value == t for p, t in zip(predictions, targets, strict=True)]) > 0.97
    sick = [at for at, target in enumerate(targets) if target == "sick"]
    named = [int(next(iter(predictions[at].details["attention"]))) == int(places[at]) for at in sick]
    assert np.mean(named) > 0.9


@pytest.mark.parametrize(
    ("main", "target"), [("healthcare/ordinal", GRADES), ("healthcare/multilabel", FINDINGS), ("mlp", GRADES)]
)
def test_any_head_on_pooled_features_goes_with_a_bag(main: str, target: Target) -> None:
    head = Bag({"tokens": 6, "mask": 1}, target, main=main)
    features = {"tokens": drawn(8).view(2, 4, 6), "mask": torch.ones(2, 4, dtype=torch.long)}
    targets: Any = ["mild", "worst"] if target.kind == "class" else [Findings(["mass"]), Findings([], ["mass"])]
    head.settle(targets)
    sum(head.loss(features, targets).values()).backward()
    assert head.score_of.weight.grad is not None
    assert len(head.predict(features)) == 2


def test_heads_that_cannot_be_in_a_bag_are_refused() -> None:
    with pytest.raises(UsageError, match="reads the port pooled alone"):
        Bag({"tokens": 6, "mask": 1}, GRADES, main="knn")
    with pytest.raises(UsageError, match="learns labels, not class"):
        Bag({"tokens": 6, "mask": 1}, GRADES, main="multilabel")
    with pytest.raises(UsageError, match="hidden: 0"):
        Bag({"tokens": 6, "mask": 1}, GRADES, hidden=0)
