"""The JSON Schema agrees with what the loader takes and refuses."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from headstart.errors import RecipeError
from headstart.recipe_file import recipe_from_mapping
from headstart.schema import recipe_schema

BASE = {"data": {"use": "table", "path": "x.csv"}, "backbone": "nlp/encoder"}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = recipe_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"head": "mlp"},
        {"head": {"use": "mlp", "hidden": 32}},
        {"strategy": {"use": "full", "lr": 1}},
        {"split": {"test": 100, "train": None}, "train": {"seed": 3}, "baselines": "none", "name": "x"},
        {"data": {"use": "table", "path": "x.csv", "where": {"source": ["a", "b"]}}},
    ],
)
def test_what_the_loader_takes_the_schema_takes(validator, change):
    recipe_from_mapping({**BASE, **change})
    assert [error.message for error in validator.iter_errors({**BASE, **change})] == []


@pytest.mark.parametrize(
    "change",
    [
        {"head": "lineer"},
        {"head": {"use": "mlp", "hiden": 32}},
        {"head": {"use": "mlp", "hidden": "32"}},
        {"head": {"hidden": 32}},
        {"head": {"use": "linear", "hidden": 32}},
        {"data": {"use": "table"}},
        {"epochs": 3},
        {"train": {"batch_size": 0}},
        {"train": {"lr": 1e-4}},
        {"baselines": "some"},
    ],
)
def test_what_the_loader_refuses_the_schema_refuses(validator, change):
    with pytest.raises(RecipeError):
        recipe_from_mapping({**BASE, **change})
    assert not validator.is_valid({**BASE, **change})


def test_options_carry_their_help_and_defaults_for_hovering():
    hidden = recipe_schema()["$defs"]["head.mlp"]["properties"]["hidden"]
    assert hidden["default"] == 256
    assert "Width" in hidden["description"]
    assert recipe_schema()["properties"]["train"]["properties"]["clip"]["description"].startswith("Largest norm")


def test_the_schema_is_plain_json():
    assert json.loads(json.dumps(recipe_schema()))["$schema"].endswith("2020-12/schema")
