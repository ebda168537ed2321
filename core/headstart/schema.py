"""Schema: a JSON Schema (draft 2020-12) of recipes with the installed parts, for completion and checks in editors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headstart.components import Kind
from headstart.errors import PluginError
from headstart.options import Option, PartDescription, describe, options_model
from headstart.plans import plan_model
from headstart.plugins import registry
from headstart.recipe import Recipe
from headstart.recipe_file import BASELINES, PARTS, REQUIRED

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def recipe_schema() -> dict[str, Any]:
    """The schema of a whole recipe; each part's options are offered once its `use` is written."""
    definitions: dict[str, Any] = {}
    properties: dict[str, Any] = {"name": {"type": "string", "description": "Of the run's folder.", "default": Recipe.name}}
    properties |= {kind: _section(kind, definitions) for kind in PARTS if registry().names(kind)}
    properties |= {section: _plan(section, definitions) for section in ("split", "train")}
    properties["from"] = {"type": ["string", "null"], "description": "A finished run whose model training begins from."}
    properties["lock"] = {"type": ["object", "null"], "description": "What the run was made from; written by headstart."}
    properties["baselines"] = {"enum": list(BASELINES), "default": "auto", "description": "Simple models to compare with."}
    return {
        "$schema": DRAFT,
        "title": "headstart recipe",
        "type": "object",
        "properties": properties,
        "required": list(REQUIRED),
        "additionalProperties": False,
        "$defs": definitions,
    }


def _section(kind: Kind, definitions: dict[str, Any]) -> dict[str, Any]:
    """A name alone, or `use` and the options of what it names."""
    parts = _descriptions(kind)
    names = [{"const": part.component.name, "description": part.component.summary} for part in parts]
    for part in parts:
        definitions[_key(kind, part)] = _part_schema(part, definitions)
    rules = [
        {
            "if": {"properties": {"use": {"const": part.component.name}}, "required": ["use"]},
            "then": {"$ref": f"#/$defs/{_key(kind, part)}"},
        }
        for part in parts
    ]
    mapping = {"type": "object", "properties": {"use": {"oneOf": names}}, "required": ["use"], "allOf": rules}
    return {"description": f"The {kind}: a name, or `use` with options.", "oneOf": [{"oneOf": names}, mapping]}


def _descriptions(kind: Kind) -> list[PartDescription]:
    """All parts of a kind but those that cannot be read; `headstart plugins` says why."""
    found = []
    for name in registry().names(kind):
        try:
            found.append(describe(registry().find(kind, name)))
        except PluginError:
            continue
    return found


def _key(kind: Kind, part: PartDescription) -> str:
    return f"{kind}.{part.component.name.replace('/', '.')}"  # a slash would be a step of the JSON pointer


def _part_schema(part: PartDescription, definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _plain_schema(options_model(part.component).model_json_schema(), definitions)
    schema["description"] = part.summary
    schema["properties"] = {"use": {"const": part.component.name}, **_described(schema.get("properties", {}), part.options)}
    schema["required"] = ["use", *schema.get("required", [])]
    return schema


def _plan(section: str, definitions: dict[str, Any]) -> dict[str, Any]:
    return _plain_schema(plan_model(section).model_json_schema(), definitions)


def _plain_schema(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Without pydantic's titles, which editors would show in place of the descriptions."""
    definitions.update(schema.pop("$defs", {}))
    schema.pop("title", None)
    for entry in schema.get("properties", {}).values():
        entry.pop("title", None)
    return schema


def _described(properties: dict[str, Any], options: Sequence[Option]) -> dict[str, Any]:
    """Options in the order of the signature."""
    return {option.name: properties[option.name] for option in options}
