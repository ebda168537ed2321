"""Auxiliary classifiers: as large as the papers', on the way to the stem in training, and gone once it is over."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import models

from headstart.build import make_model
from headstart.builtin.head_aux import Aux
from headstart.errors import RecipeError, UsageError
from headstart.example import Target
from headstart.model import Model
from headstart.plugins import registry
from headstart.recipe import Part, Recipe
from headstart.recipe_file import recipe_from_mapping
from headstart.run import load

AB = Target("class", ("a", "b"))
LABELS = ["a", "a", "b", "b"]
SIZES = {"googlenet": 64, "inception-v3": 75}


def make(name: str, *, target: Target = AB, use: str = "aux", **options: Any) -> Model:
    backbone = Part(f"vision/{name}", {"weights": "none", "size": SIZES[name]})
    torch.manual_seed(0)
    return make_model(Recipe(Part("vision/folder"), backbone, Part(use, options)), target)


def pixels(name: str) -> dict[str, Tensor]:
    return {"pixels": torch.randn(4, 3, SIZES[name], SIZES[name], generator=torch.Generator().manual_seed(1))}


@pytest.mark.parametrize(("name", "arch"), [("googlenet", "googlenet"), ("inception-v3", "inception_v3")])
def test_with_auxiliary_classifiers_a_network_has_as_many_parameters_as_torchvisions(name: str, arch: str) -> None:
    """On the meta device. 13,004,888 of GoogLeNet, of which two classifiers; 27,161,264 of Inception v3, as published."""
    with torch.device("meta"):
        model = make(name, target=Target("class", tuple(map(str, range(1000)))))
        whole = models.get_model(arch, weights=None, init_weights=False, aux_logits=True)
    assert sum(weight.numel() for weight in model.parameters()) == sum(weight.numel() for weight in whole.parameters())
    without = make_without(model)
    assert without == {"googlenet": 6_624_904, "inception-v3": 23_834_568}[name]


def make_without(model: Model) -> int:
    """Parameters of the network and of the head that stays."""
    return sum(weight.numel() for part in (model.backbone, model.head.kept()) for weight in part.parameters())


def test_each_auxiliary_classifier_has_the_published_size() -> None:
    with torch.device("meta"):
        head = make("googlenet", target=Target("class", tuple(map(str, range(1000))))).head
    sizes = {
        port: sum(weight.numel() for part in (head.necks[port], head.auxiliary[port]) for weight in part.parameters())
        for port in head.training_ports
    }
    assert sizes == {"aux1": 3_188_968, "aux2": 3_191_016}


@pytest.mark.parametrize("name", SIZES)
def test_gradients_reach_the_stem_through_the_auxiliary_classifiers_alone(name: str) -> None:
    model = make(name).train()
    features = dict(model(pixels(name)))
    features["pooled"] = features["pooled"].detach()
    sum(model.head.loss(features, LABELS).values()).backward()
    stem, last = (next(model.backbone.network.get_submodule(stage.modules[0]).parameters()) for stage in ends(model))
    assert stem.grad is not None
    assert stem.grad.abs().sum() > 0
    assert last.grad is None, "behind the last auxiliary classifier there is only the main head's loss"


def ends(model: Model) -> tuple[Any, Any]:
    return model.backbone.stages[0], model.backbone.stages[-1]


@pytest.mark.parametrize(("name", "weight"), [("googlenet", 0.3), ("inception-v3", 0.4)])
def test_the_loss_is_the_main_one_and_the_weighed_auxiliary_ones(name: str, weight: float) -> None:
    model = make(name).eval()
    features = model(pixels(name))
    losses = model.head.loss(features, LABELS)
    assert list(losses) == ["cross_entropy", *model.head.training_ports]
    assert torch.equal(losses["cross_entropy"], model.head.main.loss(features, LABELS)["cross_entropy"])
    for port in model.head.training_ports:
        alone = model.head.auxiliary[port].loss({"pooled": model.head.necks[port](features[port])}, LABELS)["cross_entropy"]
        torch.testing.assert_close(losses[port], weight * alone)


def test_switching_them_off_changes_training_only() -> None:
    """The main head begins with the same weights, and predictions and the validation loss are its own."""
    plain, helped = make("googlenet", use="linear").eval(), make("googlenet").eval()
    batch = pixels("googlenet")
    with torch.no_grad():
        first, second = plain(batch), helped(batch)
        assert torch.equal(first["pooled"], second["pooled"])
        assert plain.head.predict(first) == helped.head.predict(second)
        assert plain.head.loss(first, LABELS) == helped.head.loss(second, LABELS)
    assert len(helped.head.loss(helped(batch), LABELS)) == 3


def test_a_port_whose_stages_are_frozen_gives_no_loss() -> None:
    model = make("googlenet")
    model.backbone.network.requires_grad_(False)
    model.backbone.network.inception4b.requires_grad_(True)
    assert list(model.head.loss(model(pixels("googlenet")), LABELS)) == ["cross_entropy", "aux2"]


def test_maps_of_any_network_can_have_one(tmp_path: Path) -> None:
    backbone = registry().find("backbone", "vision/resnet18").load()(weights="none", size=64)
    head = Aux(backbone.ports, AB, on=["map.2"], weight=0.5, main="mlp", options={"hidden": 8})
    head.join(backbone)
    losses = head.loss(backbone(pixels("googlenet")), LABELS)
    assert list(losses) == ["cross_entropy", "map.2"]
    assert [head.weight, head.auxiliary["map_2"].ports] == [0.5, {"pooled": 128}]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"on": ["map.9"]}, r"on names map\.9.*map\.3"),
        ({"weight": 0.0}, "weight is 0"),
        ({"main": "knn"}, "main is 'knn'"),
        ({"main": "regression"}, "learns number, not class"),
        ({"options": {"dropout": 2.0}}, "dropout is 2"),
    ],
)
def test_impossible_options_say_what_is_possible(options: dict[str, Any], says: str) -> None:
    with torch.device("meta"), pytest.raises(UsageError, match=says):
        make("googlenet", **options)


def test_a_network_without_such_ports_says_which_it_has() -> None:
    with pytest.raises(UsageError, match=r"no ports for auxiliary.*head's option on: map\.1, map\.2"):
        Aux({"pooled": 8, "map.1": 4, "map.2": 4}, AB)


def test_options_of_the_main_head_are_checked_in_the_recipe() -> None:
    with pytest.raises(RecipeError, match="label_smothing"):
        recipe(Path(), {"use": "aux", "options": {"label_smothing": 0.1}})
    with pytest.raises(RecipeError, match="no head named 'linaer'"):
        recipe(Path(), {"use": "aux", "main": "linaer"})


def recipe(folder: Path, head: Any, strategy: Any = "full", *, network: str = "googlenet", **train: Any) -> Recipe:
    return recipe_from_mapping(
        {
            "data": {"use": "vision/folder", "path": str(folder)},
            "backbone": {"use": f"vision/{network}", "weights": "none", "size": SIZES[network]},
            "head": head,
            "strategy": strategy,
            "split": {"val": 0, "near": False},
            "train": {"batch_size": 8, **train},
            "baselines": "none",
        }
    )


@pytest.fixture
def folder(save: Callable[..., Path], tmp_path: Path) -> Path:
    for number in range(10):
        save(f"pictures/red/{number}.png", (200, 40 + number, 30))
        save(f"pictures/blue/{number}.png", (30, 40 + number, 200))
    return tmp_path / "pictures"


def events(run: Any, kind: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines())
    return [event for event in lines if event["event"] == kind]


@pytest.mark.parametrize(
    ("strategy", "idle"),
    [
        ({"use": "full", "epochs": 1}, []),
        ({"use": "probe", "epochs": 1}, ["aux1", "aux2"]),
        ({"use": "last-stages", "stages": 4, "epochs": 1}, ["aux1"]),
    ],
)
def test_a_run_leaves_out_what_is_frozen_and_keeps_the_main_head_alone(
    folder: Path, tmp_path: Path, strategy: dict[str, Any], idle: list[str]
) -> None:
    run = recipe(folder, {"use": "aux", "options": {"label_smoothing": 0.1}}, strategy).run(tmp_path / "runs")
    assert [port for event in events(run, "idle") for port in event["ports"]] == idle
    stored = [phase["stored"] for phase in json.loads((run.folder / "ledger.json").read_text())["phases"]]
    assert not any(port.startswith("aux") for ports in stored for port in ports)
    moved = json.loads((run.folder / "ledger.json").read_text())["phases"][0]["trainable"]["unmoved"]
    assert {name.split(".")[2] for name in moved if "necks" in name} == set(idle)
    again = load(run.folder)
    assert type(again.model.head).__name__ == "Linear"
    assert again.model.head.label_smoothing == 0.1
    assert not any("aux" in name or "necks" in name for name in again.model.state())
    picture = str(next(folder.rglob("*.png")))
    assert again.predict([picture])[0].value in ("red", "blue")


@pytest.mark.slow  # two networks of 13 and 27 million parameters from random weights: about 40 s on one core
@pytest.mark.parametrize("network", SIZES)
def test_deep_networks_from_random_weights_learn_with_auxiliary_classifiers(
    save: Callable[..., Path], tmp_path: Path, network: str
) -> None:
    for number in range(40):
        save(f"pictures/red/{number}.png", (200, 40 + number, 30))
        save(f"pictures/blue/{number}.png", (30, 40 + number, 200))
    whole = recipe(tmp_path / "pictures", "aux", {"use": "full", "epochs": 5, "lr": 1e-3}, network=network)
    run = whole.run(tmp_path / "runs")
    assert run.metrics["n"]["train"] == 64
    losses = [event["train_loss"] for event in events(run, "epoch")]
    assert min(losses) < losses[0] / 2
    (phase,) = json.loads((run.folder / "ledger.json").read_text())["phases"]
    assert phase["trainable"]["unmoved"] == []
    assert phase["frozen"] == {"tensors": 0, "identical": True}
    assert all(drift > 0 for drift in phase["drift"].values())


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
