"""The head `contrast` and the strategy `setfit`: examples of a label are drawn together, then the head learns alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from headstart.builtin.head_contrast import Contrast, pair_loss
from headstart.builtin.strategy_setfit import SetFit
from headstart.errors import UsageError
from headstart.example import Target
from headstart.files import read_json
from headstart.model import Model
from headstart.run import Run

LABELS = Target("class", ("no", "yes"))


def test_the_loss_of_pairs_is_the_papers_by_hand() -> None:
    pooled = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    positions = torch.tensor([0, 0, 1, 1])
    half = 0.5**0.5
    alike = [(1 - 1) ** 2, (half - 1) ** 2]
    apart = [0.0, half**2, 0.0, half**2]
    expected = (sum(alike) / 2 + sum(apart) / 4) / 2
    assert float(pair_loss(pooled, positions)) == pytest.approx(expected, abs=1e-6)
    assert float(pair_loss(pooled[:2], positions[:2])) == pytest.approx(0.0, abs=1e-6)
    assert float(pair_loss(pooled[:1], positions[:1])) == 0.0


def test_features_of_a_label_come_together_and_those_of_two_part() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(12, 16)
    targets = ["no", "yes"] * 6
    layer, head = torch.nn.Linear(16, 8), Contrast({"pooled": 8}, LABELS)
    optimizer = torch.optim.AdamW([*layer.parameters(), *head.parameters()], lr=1e-2)

    def cosines() -> tuple[float, float]:
        with torch.no_grad():
            directions = F.normalize(layer(inputs), dim=1)
        same = torch.tensor([[a == b for b in targets] for a in targets])
        found = directions @ directions.T
        return float(found[same].mean()), float(found[~same].mean())

    before = cosines()
    for _ in range(150):
        losses = head.loss({"pooled": layer(inputs)}, targets)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    after = cosines()
    assert after[0] - after[1] > 0.8 > before[0] - before[1]
    pooled = layer(inputs).detach().requires_grad_()
    assert torch.autograd.grad(head.outputs({"pooled": pooled})[:, 1].sum(), pooled)[0].abs().sum() > 0  # to explain it
    predictions = head.predict({"pooled": pooled})
    assert [prediction.value for prediction in predictions] == targets


def test_the_backbone_hears_of_pairs_and_not_of_the_linear_layer() -> None:
    head = Contrast({"pooled": 4}, LABELS)
    pooled = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    losses = head.loss({"pooled": pooled}, ["no", "yes", "no", "yes"])
    assert list(losses) == ["contrast", "cross_entropy"]
    assert torch.autograd.grad(losses["cross_entropy"], pooled, retain_graph=True, allow_unused=True) == (None,)
    assert torch.autograd.grad(losses["contrast"], pooled)[0].abs().sum() > 0
    assert list(head.loss({"pooled": pooled.detach()}, ["no", "yes", "no", "yes"])) == ["cross_entropy"]


def test_a_run_compares_with_everything_and_ends_with_the_head(run_tiny: Callable[..., Run]) -> None:
    run = run_tiny(strategy={"use": "setfit", "epochs": 2, "head_epochs": 2}, head="contrast", baselines="none")
    phases = read_json(run.folder / "ledger.json")["phases"]
    thawed = [{stage for stage, rate in entry["rates"].items() if rate} for entry in phases]
    assert thawed == [{"head", "block.2", "block.1", "embedding"}, {"head"}]
    assert all(entry["frozen"]["identical"] and entry["trainable"]["moved"] for entry in phases)
    assert phases[1]["stored"] == ["pooled"]  # the head's phase runs on features that are computed once


def test_options_out_of_range_are_refused(make_tiny: Callable[..., Model]) -> None:
    with pytest.raises(UsageError, match="option head_epochs is 0; it must be at least 1"):
        SetFit(head_epochs=0)
    assert [phase.name for phase in SetFit().phases(make_tiny())] == ["compare", "head"]
