"""The kit itself: its verdicts, its guards and its decorator; and that checks are red for what they are about."""

from __future__ import annotations

import pickle
import random
import socket
import urllib.request

import numpy as np
import pytest
import torch
from safetensors.torch import load_model
from torch import nn

from headstart import Data, Example, Head, Prediction, Stage, Target, WeightsCard
from headstart.metrics import classification_scores
from headstart.testing import (
    BackboneCase,
    ContractError,
    DataCase,
    HeadCase,
    NotApplicableError,
    PluginCase,
    StrategyCase,
    checks_for,
    expect,
    parametrize_with_checks,
    run_check,
)
from headstart.testing.guards import fingerprint, kept_random_state, without_network
from headstart.testing.pytest_cases import case_for
from headstart.testing.running import MODULES
from headstart.testing.stand_ins import SmallBackbone, SmallNetwork

CHECKS = {(kind, check.__name__): check for kind in MODULES for check in checks_for(kind)}


def test_there_are_more_than_forty_checks_each_with_its_words():
    assert len(CHECKS) >= 40
    assert [name for name, check in CHECKS.items() if len((check.__doc__ or "").split()) < 6] == []
    assert len(CHECKS) == sum(len(checks_for(kind)) for kind in MODULES), "two checks of one kind share a name"


def red(_case):
    """Fails whatever it is given, for these tests."""
    raise ContractError("it is red", "paint it")


def green(_case):
    """Passes whatever it is given, for these tests."""


def idle(_case):
    """Has no question for anything, for these tests."""
    raise NotApplicableError("there is nothing to ask")


def broken(_case):
    """Breaks down on its way, for these tests."""
    raise ZeroDivisionError("by zero")


@pytest.mark.parametrize(
    ("check", "known", "outcome", "says"),
    [
        (green, {}, "passed", ""),
        (red, {}, "failed", "it is red. To mend it: paint it"),
        (idle, {}, "skipped", "there is nothing to ask"),
        (broken, {}, "failed", "the check stopped at ZeroDivisionError: by zero"),
        (red, {"red": "The paper wants it so."}, "known", "The paper wants it so."),
        (red, {"red": "later"}, "failed", "write a whole sentence"),
        (green, {"green": "The paper wants it so."}, "failed", "but it is passed; take it out"),
    ],
)
def test_a_verdict_says_what_came_out_and_a_known_failure_needs_its_reason(check, known, outcome, says):
    result = run_check(PluginCase(use="core", known=known), check)
    assert (result.outcome, says in result.message) == (outcome, True)


def test_pytest_gets_one_test_for_each_check_with_marks_and_skips():
    slow = StrategyCase(use="probe", slow="it takes a minute")
    marked = pytest.param(StrategyCase(use="full"), marks=pytest.mark.gpu)

    @parametrize_with_checks([slow, marked, PluginCase(use="core")])
    def contract(case, check):
        """Stands for a test of an author's."""

    (mark,) = contract.pytestmark
    values = mark.args[1]
    assert len(values) == 2 * len(checks_for("strategy")) + len(checks_for("plugin"))
    assert {each.name for value in values[:3] for each in value.marks} == {"slow"}
    assert values[0].id == "probe-can_be_built"
    with pytest.raises(pytest.fail.Exception, match="plugin core: it is red"):
        expect(PluginCase(use="core"), red)
    with pytest.raises(pytest.skip.Exception, match="nothing to ask"):
        expect(PluginCase(use="core"), idle)
    with pytest.raises(pytest.xfail.Exception, match="wants it so"):
        expect(PluginCase(use="core", known={"red": "The paper wants it so."}), red)


def test_a_class_becomes_a_case_of_its_kind_and_anything_else_is_refused():
    assert isinstance(case_for(SmallBackbone), BackboneCase)
    with pytest.raises(TypeError, match="neither a case nor"):
        case_for(int)


def test_the_network_is_refused_and_named_and_there_again_afterwards():
    before = (socket.socket.connect, socket.getaddrinfo)
    with without_network() as asked:
        with pytest.raises(OSError, match="network is cut off"):
            urllib.request.urlopen("http://weights.invalid/x", timeout=1)
        with socket.socket() as plain, pytest.raises(OSError, match="cut off"):
            plain.connect(("192.0.2.1", 80))
    assert asked == ["weights.invalid", "('192.0.2.1', 80)"]
    assert (socket.socket.connect, socket.getaddrinfo) == before


@pytest.mark.parametrize("draw", [torch.rand, lambda _n: np.random.rand(), lambda _n: random.random()])
def test_a_draw_from_global_random_numbers_is_seen(draw):
    with pytest.raises(ContractError, match="it draws from the global random numbers of"), kept_random_state("it", "use rngs"):
        draw(1)
    with kept_random_state("it", "use rngs"):
        np.random.default_rng(0).random()


def test_a_fingerprint_is_that_of_the_contents():
    array = np.arange(6.0)
    values = [array, array.reshape(2, 3), array.astype(np.float32), torch.arange(6.0), "a", b"a", ["a"], {"a": array}, None]
    prints = [fingerprint(value) for value in values]
    assert len(set(prints)) == len(values)
    assert prints == [fingerprint(pickle.loads(pickle.dumps(value))) for value in values]
    assert fingerprint(Example("a", array)) != fingerprint(Example("a", array + 1))


def test_a_check_leaves_the_callers_random_numbers_as_they_were():
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    run_check(BackboneCase(use=SmallBackbone), CHECKS["backbone", "prepare_is_a_function_of_its_seeds"])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


# faults beyond the twelve plugins: each class below breaks one clause


@pytest.mark.parametrize(
    "case", [BackboneCase(use="vectors", options={"width": 0}), HeadCase(use="knn", options={"neighbours": 0})]
)
def test_a_part_that_cannot_be_built_is_red_once(case):
    outcomes = {check.__name__: run_check(case, check).outcome for check in checks_for(case.kind)}
    assert [name for name, outcome in outcomes.items() if outcome == "failed"] == ["can_be_built"]
    assert outcomes["survives_pickling"] == "skipped"


class Sound(SmallBackbone):
    """What the faulty ones are made from."""

    port_names = ("pooled",)

    def __init__(self, *, blocks: int = 3, weights: str = "") -> None:
        super().__init__(blocks=blocks, ports=("pooled",))
        if weights:
            load_model(self.network, f"{weights}/model.safetensors")


class Outside(Sound):
    def __init__(self):
        super().__init__()
        self.extra = nn.Linear(2, 2)


class Unlisted(Sound):
    def __init__(self):
        super().__init__()
        self.stages = self.stages[:-1]


class Shortcut(Sound):
    """Block 2 reads what came in, beside what block 1 gave."""

    def forward(self, batch):
        x = batch["vectors"]
        one = self.network.blocks[0](x)
        return {"pooled": self.network.blocks[2](self.network.blocks[1](one) + one)}


class Tapped(Sound):
    """A second port, given by the lowest block; with `is_wrong` the first one takes a way round the second block too."""

    port_names = ("pooled", "low")
    is_wrong = False

    def __init__(self):
        super().__init__()
        self.ports = {"pooled": self.ports["pooled"], "low": self.ports["pooled"]}

    def forward(self, batch):
        one = self.network.blocks[0](batch["vectors"])
        two = self.network.blocks[1](one) + one * self.is_wrong
        return {"pooled": self.network.blocks[2](two), "low": one}


class TappedWrongly(Tapped):
    is_wrong = True


def test_replay_asks_nothing_of_a_port_from_below_the_boundary_and_all_of_those_above():
    replay = CHECKS["backbone", "replay_is_exact_at_every_boundary"]
    assert run_check(BackboneCase(use=Tapped), replay).outcome == "passed"
    result = run_check(BackboneCase(use=TappedWrongly), replay)
    assert result.outcome == "failed"
    assert "block.1: replaying after block.1 is not exact" in result.message


class Dropping(Sound):
    """Dropout that does not know whether it trains."""

    def forward(self, batch):
        return {"pooled": nn.functional.dropout(super().forward(batch)["pooled"], 0.5)}


class Detached(Sound):
    def forward(self, batch):
        return {"pooled": super().forward(batch)["pooled"].detach()}


class Neighbourly(Sound):
    """Subtracts the mean of the batch."""

    def forward(self, batch):
        pooled = super().forward(batch)["pooled"]
        return {"pooled": pooled - pooled.mean(dim=0)}


class Undeclared(Sound):
    def forward(self, batch):
        return {**super().forward(batch), "tokens": batch["vectors"]}


class Writing(Sound):
    def forward(self, batch):
        batch["vectors"].mul_(0.5)
        return super().forward(batch)


class Forgetful(Sound):
    """Saves no weights."""

    def save(self, folder):
        folder.mkdir()

    @classmethod
    def saved_options(cls, folder, options):
        return {**options, "blocks": 2}


class Anonymous(Sound):
    def __init__(self):
        super().__init__()
        self.card = WeightsCard(source="", sha256="abc")


class Swallowing(Sound):
    def __init__(self, **options):
        super().__init__()


class Careless(Sound):
    """A negative number of blocks ends in an error of torch's."""

    def __init__(self, *, width: int = 8):
        super().__init__()
        nn.Linear(width, width)


class Constant(Sound):
    def forward(self, batch):
        return {"pooled": torch.ones(len(batch["vectors"]), 8)}


class Unnamed(Sound):
    def __init__(self):
        super().__init__()
        self.network = SmallNetwork(8, 1)
        self.stages = (Stage("a/b c", ("blocks.0",)),)


class Sized(Sound):
    def sizes(self, inputs):
        return [len(inputs)] * len(inputs)


@pytest.mark.parametrize(
    ("use", "check", "says"),
    [
        (Outside, "stages_hold_every_parameter_of_the_backbone", "extra.weight"),
        (Unlisted, "stages_cover_every_parameter_once", "have no stage"),
        (Shortcut, "replay_is_exact_at_every_boundary", "block.1: replaying after block.1 is not exact"),
        (Dropping, "forward_is_deterministic", "draws from the global random numbers of torch"),
        (Detached, "every_stage_learns", "no gradient reaches the stages block.0"),
        (Neighbourly, "a_row_is_the_same_alone", "port 'pooled' of example 0 differs when it stands alone"),
        (Undeclared, "ports_are_those_declared", "`forward` gives pooled, tokens, but `ports` says pooled"),
        (Writing, "forward_is_deterministic", "`forward` changes the batch's vectors in place"),
        (Forgetful, "saving_and_loading_gives_the_same_features", "saved and loaded it gives another pooled"),
        (Anonymous, "the_card_says_where_weights_come_from", "names no source"),
        (Swallowing, "options_are_refused_in_words", "'no_such_option' is swallowed"),
        (Careless, "options_are_refused_in_words", "width: -1 ends in RuntimeError"),
        (Constant, "features_are_finite", "different inputs give the same features"),
        (Unnamed, "stages_can_be_chosen_by_name", "stages are named ['a/b c']"),
        (Sized, "sizes_are_one_per_input", "alone the inputs cost"),
    ],
)
def test_a_backbone_that_breaks_a_clause_is_red_for_it(use, check, says):
    result = run_check(BackboneCase(use=use), CHECKS["backbone", check])
    assert result.outcome == "failed"
    assert says in result.message
    assert run_check(BackboneCase(use=Sound), CHECKS["backbone", check]).outcome in ("passed", "skipped")


class Nearest(Head):
    """A sound head."""

    kinds = ("class",)
    needs = ("pooled",)

    def __init__(self, ports, target):
        super().__init__(ports, target)
        self.out = nn.Linear(self.ports["pooled"], len(target.labels))

    def loss(self, features, targets):
        from headstart.errors import DataError

        if not set(targets) <= set(self.target.labels):
            raise DataError(f"a target is none of {self.target.labels}: correct it in the data")
        positions = torch.tensor([self.target.labels.index(target) for target in targets])
        return {"cross_entropy": nn.functional.cross_entropy(self.out(features["pooled"]), positions)}

    @torch.no_grad()
    def predict(self, features):
        rows = self.out(features["pooled"]).double().softmax(dim=1).tolist()
        shares = [dict(zip(self.target.labels, row, strict=True)) for row in rows]
        return [Prediction(max(each, key=each.get), each) for each in shares]

    def score(self, predictions, targets, weights=None):
        return classification_scores(self.target.labels, list(targets), predictions, weights, positive=None)


class Numbered(Nearest):
    def predict(self, features):
        return [Prediction(self.target.labels.index(each.value), each.probabilities) for each in super().predict(features)]


class Upside(Nearest):
    def score(self, predictions, targets, weights=None):
        return {"error": float(np.mean([p.value != t for p, t in zip(predictions, targets, strict=True)]))}


class Absorbing(Nearest):
    def loss(self, features, targets):
        return super().loss(features, [each if each in self.target.labels else self.target.labels[0] for each in targets])


class Hidden(Nearest):
    """What it learnt from the targets is in no buffer."""

    shift = 0.0

    def settle(self, targets):
        self.shift = 5.0

    def predict(self, features):
        return super().predict({"pooled": features["pooled"] * (1 - self.shift)})


@pytest.mark.parametrize(
    ("use", "check", "says"),
    [
        (Numbered, "predictions_are_in_the_terms_of_the_targets", "which is none of the labels"),
        (Upside, "scores_are_better_when_predictions_are_right", "'error' is 0 for right answers"),
        (Upside, "scores_follow_their_weights", "an example of weight 2 is not as two examples"),
        (Absorbing, "unknown_targets_are_refused", "a label that is not in the target is accepted"),
        (Hidden, "saving_and_loading_gives_the_same_predictions", "loaded it predicts otherwise"),
    ],
)
def test_a_head_that_breaks_a_clause_is_red_for_it(use, check, says):
    result = run_check(HeadCase(use=use), CHECKS["head", check])
    assert result.outcome == "failed"
    assert says in result.message
    assert run_check(HeadCase(use=Nearest), CHECKS["head", check]).outcome == "passed"


class Greedy(Nearest):
    """Reads the auxiliary port when it predicts, where none is given."""

    training_ports = ("aux1",)

    def predict(self, features):
        return super().predict({"pooled": features["pooled"] + features["aux1"].mean(dim=(2, 3))})


def test_a_head_that_predicts_from_an_auxiliary_port_is_red_for_it():
    check = CHECKS["head", "auxiliary_ports_are_read_in_training_alone"]
    result = run_check(HeadCase(use=Greedy, ports={"pooled": 8, "aux1": 8}), check)
    assert (result.outcome, "does not do without aux1" in result.message) == ("failed", True), result.message
    assert run_check(HeadCase(use=Nearest), check).outcome == "skipped"
    aux = HeadCase(use="aux", options={"on": ["aux1"]}, ports={"pooled": 8, "aux1": 8})
    assert run_check(aux, check).outcome == "passed"


class Rows(Data):
    """Sound data in memory."""

    modality = "vector"

    @property
    def target(self):
        return Target("class", ("a", "b"))

    def examples(self):
        return [Example(f"e{at}", np.full(8, float(at)), "ab"[at % 2]) for at in range(4)]

    def read(self, source):
        return np.array(source, dtype=float)


class Twice(Rows):
    def examples(self):
        return [Example("same", each.input, each.target) for each in super().examples()]


class Drawing(Rows):
    def augment(self, input, rng):
        return input + np.random.rand()


class Shuffled(Rows):
    def examples(self):
        rows = super().examples()
        return [rows[at] for at in np.random.permutation(4)]


@pytest.mark.parametrize(
    ("use", "check", "says"),
    [
        (Twice, "ids_are_unique_and_stable", "ids stand twice: same"),
        (Drawing, "views_are_a_function_of_their_seed", "`augment` draws from the global random numbers of numpy.random"),
        (Shuffled, "examples_are_the_same_each_time", "another order"),
    ],
)
def test_data_that_breaks_a_clause_is_red_for_it(use, check, says):
    np.random.seed(3)
    result = run_check(DataCase(use=use, source=lambda _folder: [1.0] * 8), CHECKS["data", check])
    assert result.outcome == "failed"
    assert says in result.message
    assert run_check(DataCase(use=Rows), CHECKS["data", check]).outcome in ("passed", "skipped")
