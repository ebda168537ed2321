"""Heads trained by gradient: losses against torch by hand, weights of classes, predictions in the user's terms, saving."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from headstart.builtin.heads_neural import MLP, Linear, MultiLabel, Regression, focal_loss
from headstart.errors import DataError, UsageError
from headstart.example import Target
from headstart.head import Head

PORTS = {"pooled": 4}
CLASSES = Target("class", ("neg", "neutral", "pos"), "pos")
TAGS = Target("labels", ("action", "drama", "noir"))
NUMBER = Target("number")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def features(count: int = 6) -> dict[str, torch.Tensor]:
    return {"pooled": torch.randn(count, 4)}


def all_heads() -> list[Head]:
    return [Linear(PORTS, CLASSES), MLP(PORTS, CLASSES, hidden=8), Regression(PORTS, NUMBER), MultiLabel(PORTS, TAGS)]


def targets_of(head: Head, count: int) -> list[object]:
    choices = {"class": CLASSES.labels, "number": (1.5, -2.0, 7.0), "labels": (("action", "noir"), (), ("drama",))}
    chosen = choices[head.target.kind]
    return [chosen[i % 3] for i in range(count)]


def test_linear_loss_is_cross_entropy() -> None:
    head, given = Linear(PORTS, CLASSES), features(3)
    by_hand = F.cross_entropy(given["pooled"] @ head.out.weight.T + head.out.bias, torch.tensor([2, 0, 1]))
    assert head.loss(given, ["pos", "neg", "neutral"])["cross_entropy"].item() == pytest.approx(by_hand.item())


def test_label_smoothing_is_torchs() -> None:
    head, given = Linear(PORTS, CLASSES, label_smoothing=0.2), features(2)
    by_hand = F.cross_entropy(head.outputs(given), torch.tensor([2, 0]), label_smoothing=0.2)
    assert head.loss(given, ["pos", "neg"])["cross_entropy"].item() == pytest.approx(by_hand.item())


def test_balanced_class_weights_change_the_loss_as_computed_by_hand() -> None:
    head, given = Linear(PORTS, CLASSES, class_weights="balanced"), features(2)
    head.settle(["neg"] * 6 + ["pos"] * 2)  # 8 / (2 x 6) and 8 / (2 x 2); "neutral" does not occur
    assert head.class_weight.tolist() == pytest.approx([8 / 12, 1.0, 2.0])
    logs = head.outputs(given).log_softmax(dim=1)
    by_hand = (-logs[0, 0] * 8 / 12 - logs[1, 2] * 2.0) / 2
    assert head.loss(given, ["neg", "pos"])["cross_entropy"].item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_a_batch_of_one_class_feels_its_weight() -> None:
    plain, weighted = Linear(PORTS, CLASSES), Linear(PORTS, CLASSES, class_weights="balanced")
    weighted.load_state_dict(plain.state_dict())
    weighted.settle(["neg"] * 6 + ["pos"] * 2)
    given = features(1)
    ratio = weighted.loss(given, ["pos"])["cross_entropy"] / plain.loss(given, ["pos"])["cross_entropy"]
    assert ratio.item() == pytest.approx(2.0)


def test_class_weights_stay_one_unless_asked_for() -> None:
    head = Linear(PORTS, CLASSES)
    head.settle(["neg"] * 6 + ["pos"] * 2)
    assert head.class_weight.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("index", range(4))
def test_training_lowers_the_loss(index: int) -> None:
    head, given = all_heads()[index], features(12)
    targets = targets_of(head, 12)
    head.settle(targets)
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.05)
    before = sum(head.eval().loss(given, targets).values()).item()
    head.train()
    for _ in range(60):
        optimizer.zero_grad()
        sum(head.loss(given, targets).values()).backward()
        optimizer.step()
    assert sum(head.eval().loss(given, targets).values()).item() < 0.8 * before


@pytest.mark.parametrize("index", range(4))
def test_one_example_has_a_finite_loss_and_gradient(index: int) -> None:
    head = all_heads()[index].train()
    targets = targets_of(head, 1)
    head.settle(targets)
    sum(head.loss(features(1), targets).values()).backward()
    assert all(torch.isfinite(weight.grad).all() for weight in head.parameters() if weight.grad is not None)
    assert all(weight.grad is not None for weight in head.parameters())


@pytest.mark.parametrize("index", range(4))
def test_saved_head_predicts_the_same(index: int, tmp_path: Path) -> None:
    head, given = all_heads()[index].eval(), features()
    head.settle(targets_of(head, 6))
    save_file(head.state_dict(), tmp_path / "head.safetensors")
    fresh = all_heads()[index].eval()
    assert fresh.predict(given) != head.predict(given)
    fresh.load_state_dict(load_file(tmp_path / "head.safetensors"))
    assert fresh.predict(given) == head.predict(given)


@pytest.mark.parametrize("index", range(4))
def test_loss_is_float32_under_bf16_autocast(index: int) -> None:
    head = all_heads()[index]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = head.loss(features(2), targets_of(head, 2))
    assert {loss.dtype for loss in losses.values()} == {torch.float32}


def test_half_precision_features_are_taken() -> None:
    given = {"pooled": features(2)["pooled"].bfloat16()}
    assert len(Linear(PORTS, CLASSES).predict(given)) == 2


def test_class_predictions_are_labels_and_sum_to_one() -> None:
    head = Linear(PORTS, CLASSES)
    head.out.weight.data *= 100
    for prediction in head.predict(features()):
        assert prediction.probabilities is not None
        assert list(prediction.probabilities) == list(CLASSES.labels)
        assert math.fsum(prediction.probabilities.values()) == pytest.approx(1.0, abs=1e-12)
        assert prediction.value == max(prediction.probabilities, key=prediction.probabilities.__getitem__)


def test_initial_predictions_are_near_uniform_and_differ_by_seed() -> None:
    first = Linear(PORTS, CLASSES)
    assert all(abs(p - 1 / 3) < 0.1 for p in first.predict(features(1))[0].probabilities.values())  # type: ignore[union-attr] # given
    assert not torch.equal(first.out.weight, Linear(PORTS, CLASSES).out.weight)
    torch.manual_seed(0)
    assert torch.equal(first.out.weight, Linear(PORTS, CLASSES).out.weight)


def test_an_unknown_label_is_named_with_the_known_ones() -> None:
    with pytest.raises(DataError, match="unknown label 'positive'; known: 'neg', 'neutral', 'pos'"):
        Linear(PORTS, CLASSES).loss(features(1), ["positive"])


def test_labels_of_other_types_count_as_they_print() -> None:
    head, given = Linear(PORTS, Target("class", ("0", "1"))), features(4)
    as_text = head.loss(given, ["1", "0", "1", "0"])["cross_entropy"]
    assert torch.equal(head.loss(given, [1, 0, np.int64(1), np.str_("0")])["cross_entropy"], as_text)
    booleans = Linear(PORTS, Target("class", ("False", "True")))
    assert booleans.loss(given, [True, False, True, False])["cross_entropy"].isfinite()


def test_a_target_without_labels_is_refused() -> None:
    with pytest.raises(DataError, match="no labels"):
        Linear(PORTS, Target("class"))


def test_mlp_has_the_layers_that_were_asked_for() -> None:
    shapes = [tuple(weight.shape) for weight in MLP(PORTS, CLASSES, hidden=8, layers=2).parameters() if weight.ndim == 2]
    assert shapes == [(8, 4), (8, 8), (3, 8)]


def test_mlp_learns_what_a_linear_layer_cannot() -> None:
    corners = torch.tensor([[0.0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]])
    targets = ["neg", "pos", "pos", "neg"]  # exclusive or
    head = MLP(PORTS, CLASSES, hidden=16, dropout=0.0)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        head.loss({"pooled": corners}, targets)["cross_entropy"].backward()
        optimizer.step()
    assert [prediction.value for prediction in head.predict({"pooled": corners})] == targets


@pytest.mark.parametrize("head_class", [Linear, MLP])
def test_dropout_acts_in_training_only(head_class: type[Linear]) -> None:
    head, given = head_class(PORTS, CLASSES, dropout=0.5), features(8)
    assert not torch.equal(head.train().outputs(given), head.outputs(given))
    assert torch.equal(head.eval().outputs(given), head.outputs(given))


@pytest.mark.parametrize(("option", "value"), [("dropout", 1.0), ("label_smoothing", -0.1), ("hidden", 0), ("layers", 0)])
def test_options_out_of_range_are_named(option: str, value: float) -> None:
    with pytest.raises(UsageError, match=option):
        MLP(PORTS, CLASSES, **{option: value})  # type: ignore[arg-type] # what is under test


def test_regression_standardises_and_predicts_in_the_users_units() -> None:
    head, given = Regression(PORTS, NUMBER), features(4)
    targets = [1000.0, 1010.0, 1020.0, 1030.0]
    head.settle(targets)
    assert head.mean.item() == 1015.0
    assert head.scale.item() == pytest.approx(np.std(targets))
    outputs = head.outputs(given).squeeze(1)
    expected = [value * np.std(targets) + 1015.0 for value in outputs.tolist()]
    assert [prediction.value for prediction in head.predict(given)] == pytest.approx(expected)
    by_hand = F.mse_loss(outputs, torch.tensor((np.array(targets) - 1015) / np.std(targets)).float())
    assert head.loss(given, targets)["mse"].item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_regression_keeps_the_digits_of_large_targets() -> None:
    head = Regression(PORTS, NUMBER)
    head.settle([1.7e9, 1.7e9 + 2])  # float32 knows only every 128th number there
    head.out.weight.data.zero_()
    assert head.predict(features(1))[0].value == 1.7e9 + 1


def test_huber_grows_more_slowly_for_an_outlier() -> None:
    given, losses = features(1), {}
    for name in ("mse", "huber"):
        torch.manual_seed(1)
        losses[name] = Regression(PORTS, NUMBER, loss=name).loss(given, [100.0])[name].item()  # type: ignore[arg-type] # both
    assert losses["huber"] == pytest.approx(math.sqrt(losses["mse"]) - 0.5, rel=1e-4)  # |e| - 1/2 beyond one deviation


def test_equal_targets_are_predicted_without_division_by_zero() -> None:
    head = Regression(PORTS, NUMBER)
    head.settle([5.0, 5.0, 5.0])
    assert head.scale.item() == 1.0
    assert head.loss(features(1), [5.0])["mse"].isfinite()


@pytest.mark.parametrize("target", ["tall", None, math.nan, math.inf])
def test_a_target_that_is_no_number_is_named(target: object) -> None:
    with pytest.raises(DataError, match=str(target)):
        Regression(PORTS, NUMBER).settle([1.0, target])


def test_regression_scores_put_r2_first() -> None:
    head, given = Regression(PORTS, NUMBER), features()
    assert next(iter(head.score(head.predict(given), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))) == "r2"


def test_multilabel_loss_is_binary_cross_entropy() -> None:
    head, given = MultiLabel(PORTS, TAGS), features(3)
    truth = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0]])
    by_hand = F.binary_cross_entropy_with_logits(head.outputs(given), truth)
    for targets in ([("action", "noir"), (), ("drama",)], [{"noir", "action"}, set(), {"drama"}]):
        assert head.loss(given, targets)["binary_cross_entropy"].item() == pytest.approx(by_hand.item())


def test_balanced_label_weights_are_negatives_over_positives() -> None:
    head = MultiLabel(PORTS, TAGS, label_weights="balanced")
    head.settle([("action", "noir"), ("noir",), ("noir",), ("noir",)])
    assert head.positive_weight.tolist() == [3.0, 1.0, 1.0]  # 3 / 1; none has "drama", all have "noir"


def test_the_threshold_decides_which_labels_are_predicted() -> None:
    head, given = MultiLabel(PORTS, TAGS, threshold=0.7), features(1)
    head.out.weight.data.zero_()
    head.out.bias.data = torch.tensor([0.6, 1.2, 3.0])  # sigmoid: 0.65, 0.77, 0.95
    assert head.predict(given)[0].value == ("drama", "noir")
    assert head.predict(given)[0].probabilities == pytest.approx({"action": 0.6457, "drama": 0.7685, "noir": 0.9526}, abs=1e-4)


def test_a_single_label_in_place_of_a_set_is_refused() -> None:
    with pytest.raises(DataError, match="'drama' is not a collection"):
        MultiLabel(PORTS, TAGS).loss(features(1), ["drama"])


def test_scores_select_by_accuracy_and_micro_f1() -> None:
    linear, tags, given = Linear(PORTS, CLASSES), MultiLabel(PORTS, TAGS), features(3)
    answers = linear.predict(given)
    scores = linear.score(answers, [answers[0].value, "none", "none"])
    assert next(iter(scores)) == "accuracy"
    assert scores["accuracy"] == pytest.approx(1 / 3)
    weighted = linear.score(answers, [answers[0].value, "none", "none"], np.array([4.0, 1, 0]))
    assert weighted["accuracy"] == pytest.approx(0.8)
    assert next(iter(tags.score(tags.predict(given), [("action",), (), ("noir",)]))) == "micro_f1"


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_focal_loss_with_gamma_zero_is_the_weighted_cross_entropy(smoothing: float) -> None:
    options = {"class_weights": "balanced", "label_smoothing": smoothing}
    focal, plain = Linear(PORTS, CLASSES, loss="focal", gamma=0.0, **options), Linear(PORTS, CLASSES, **options)
    plain.load_state_dict(focal.state_dict())
    given, truth = features(6), [CLASSES.labels[i % 3] for i in range(6)]
    for head in (focal, plain):
        head.settle(["neg"] * 6 + ["pos"] * 2)
    torch.testing.assert_close(focal.loss(given, truth)["focal"], plain.loss(given, truth)["cross_entropy"])


def test_the_focal_loss_is_the_papers_formula_and_weighs_easy_examples_less() -> None:
    head, given = MLP(PORTS, CLASSES, hidden=8, dropout=0.0, loss="focal", gamma=1.5), features(3)
    chances = head.outputs(given).softmax(dim=1)[torch.arange(3), torch.tensor([2, 0, 1])]
    by_hand = (-((1 - chances) ** 1.5) * chances.log()).mean()
    assert head.loss(given, ["pos", "neg", "neutral"])["focal"].item() == pytest.approx(by_hand.item(), rel=1e-5)
    logits, truth, even = torch.tensor([[6.0, 0.0], [0.0, 0.1]]), torch.zeros(2, dtype=torch.long), torch.ones(2)
    easy, hard = (focal_loss(logits, truth, even, 2.0) / F.cross_entropy(logits, truth, reduction="none")).tolist()
    assert easy < 1e-4 < 0.2 < hard


def test_the_gradient_of_the_focal_loss_stays_finite_where_the_model_is_certain() -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0, 0]), torch.ones(2), 0.5).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_focal_loss_of_sets_of_labels_is_torchvisions(gamma: float) -> None:
    from torchvision.ops import sigmoid_focal_loss

    head, given = MultiLabel(PORTS, TAGS, loss="focal", gamma=gamma), features(3)
    truth = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    expected = sigmoid_focal_loss(head.outputs(given), truth, alpha=-1, gamma=gamma, reduction="mean")
    found = head.loss(given, [("action", "noir"), (), ("drama",)])["focal"]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("make", [Linear, MLP])
def test_two_classes_by_softmax_have_the_focal_loss_of_torchvisions_sigmoid(make: type[Linear]) -> None:
    """The softmax of two logits is the sigmoid of their difference."""
    from torchvision.ops import sigmoid_focal_loss

    head, given = make(PORTS, Target("class", ("no", "yes")), loss="focal", dropout=0.0), features(4)
    logits, truth = head.outputs(given), torch.tensor([1.0, 0.0, 1.0, 1.0])
    expected = sigmoid_focal_loss(logits[:, 1] - logits[:, 0], truth, alpha=-1, reduction="mean")
    torch.testing.assert_close(head.loss(given, ["yes", "no", "yes", "yes"])["focal"], expected)


def test_a_negative_gamma_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="option gamma is -1; it must be at least 0"):
        Linear(PORTS, CLASSES, loss="focal", gamma=-1)
