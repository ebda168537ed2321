"""Wording: what pydantic finds in a section, said in the words of the person who wrote the recipe."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from headstart.options import Option

WORDS: dict[Any, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}
# These only say "another type". Of a union pydantic gives one for each member, so they are said once, by the option's type.
TYPE_ERRORS = ("_type", "literal_error", "_parsing", "too_short", "too_long")


@dataclass(frozen=True)
class Fault:
    """One fault below a section; `way` leads from the section to it."""

    way: tuple[str | int, ...]
    message: str
    hint: str = ""
    is_unknown: bool = False
    is_missing: bool = False
    is_of_key: bool = False


def option_faults(options: Sequence[Option], given: Mapping[str, Any], errors: Iterable[Any]) -> Iterator[Fault]:
    """One fault per key, out of pydantic's errors (of which a union gives several)."""
    known = {option.name: option for option in options}
    grouped: dict[tuple[Any, ...], list[Any]] = {}
    for error in errors:
        name = str(error["loc"][0])
        is_sectioned = name in known and _section_in(known[name].type) is not None  # then each place has a fault of its own
        grouped.setdefault((name, *(_place(given, error) if is_sectioned else ())), []).append(error)
    for (name, *_), group in grouped.items():
        yield _fault(name, known.get(name), given, group)


def key_hint(key: str, section: str, known: Mapping[str, Sequence[str]]) -> str:
    """Where an unknown key belongs, or which one may be meant."""
    here = known.get(section, ())
    homes = [home for home, keys in known.items() if home and home != section and key in keys and key != "use"]
    if homes:
        return f"'{key}' belongs under {' or '.join(f'{home}:' for home in homes)}"
    if section and key in known.get("", ()):
        return f"'{key}' is a section of its own: begin it at the left margin"
    if close := get_close_matches(key, here, n=1):
        return f"did you mean '{close[0]}'?"
    for home, keys in known.items():
        if home and home != section and (close := get_close_matches(key, keys, n=1, cutoff=0.8)):
            return f"did you mean '{close[0]}' under {home}:?"
    return f"known: {', '.join(here)}" if here else ""


def in_words(annotation: Any) -> str:
    """A type for people: "text", "a whole number or null", "one of 'mean', 'cls'"."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in WORDS or annotation is None:
        return WORDS[type(None) if annotation is None else annotation]
    if origin is Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if origin in (Union, types.UnionType):
        members = [member for member in arguments if not (member is int and float in arguments)]
        return " or ".join(dict.fromkeys(in_words(member) for member in members))
    if origin is dict or origin is Mapping or is_typeddict(annotation):
        return "a section of key: value lines"
    if origin in (tuple, list) or (origin and issubclass(origin, Sequence)):
        return f"a list of {_items_in_words(arguments[0])}" if arguments else "a list"
    return "a path" if "place" in getattr(annotation, "__metadata__", ()) else "a plain value"


def _items_in_words(annotation: Any) -> str:
    is_section = is_typeddict(annotation)
    return f"sections with {', '.join(get_type_hints(annotation))}" if is_section else in_words(annotation)


def _fault(name: str, option: Option | None, given: Mapping[str, Any], errors: Sequence[Any]) -> Fault:
    if option is None:
        return Fault((name,), f"unknown key '{name}'", is_unknown=True)
    if errors[0]["type"] == "missing" and name not in given:
        return Fault(
            (name,),
            f"the key '{name}' is missing",
            f"add '{name}: ...'" + (f" ({option.help.rstrip('.')})" if option.help else ""),
            is_missing=True,
        )
    error = next((error for error in errors if not error["type"].endswith(TYPE_ERRORS)), None)
    if error is not None and error["type"] in ("missing", "extra_forbidden"):
        return _inner_key(option, given, error)
    deepest = max((_way(given, each["loc"]) for each in errors), key=len)
    value = _at(given, deepest)
    if error is not None:
        return Fault(_way(given, error["loc"]), f"'{name}' {_said(error)}, got {_shown(_at(given, _way(given, error['loc'])))}")
    expected = in_words(option.type) if len(deepest) == 1 else _expected_inside(errors, deepest, given)
    inside = "" if len(deepest) == 1 else f" at '{'.'.join(map(str, deepest[1:]))}'"
    return Fault(deepest, f"'{name}'{inside} must be {expected}, got {_shown(value)}", _value_hint(option.type, value))


def _inner_key(option: Option, given: Mapping[str, Any], error: Mapping[str, Any]) -> Fault:
    """A key that is unknown or missing in a section within an option's value."""
    way, key = _way(given, error["loc"]), str(error["loc"][-1])
    if error["type"] == "missing":
        return Fault(way, f"the key '{key}' is missing at '{'.'.join(map(str, way))}'", f"add '{key}: ...'")
    known = _keys_at(option.type, way[1:-1])
    close = get_close_matches(key, known, n=1)
    return Fault(
        way, f"unknown key '{key}'", f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}", is_of_key=True
    )


def _keys_at(annotation: Any, way: Sequence[str | int]) -> tuple[str, ...]:
    """The keys of the section to which a way within an option's type leads."""
    for step in way:
        section = _section_in(annotation)
        if section is not None and isinstance(step, str):
            annotation = get_type_hints(section)[step]
    section = _section_in(annotation)
    return tuple(get_type_hints(section)) if section is not None else ()


def _section_in(annotation: Any) -> Any:
    """The TypedDict in a type, alone or in a list; None = there is none."""
    inner = get_args(annotation)[0] if get_origin(annotation) in (tuple, list, Sequence, NotRequired) else annotation
    return inner if is_typeddict(inner) else None


def _place(given: Mapping[str, Any], error: Mapping[str, Any]) -> tuple[Any, ...]:
    is_absent = error["type"] == "missing"  # several keys may be absent from one section
    return (*_way(given, error["loc"]), *(error["loc"][-1:] if is_absent else ()))


def _expected_inside(errors: Sequence[Any], deepest: tuple[str | int, ...], given: Mapping[str, Any]) -> str:
    """What is expected at a place within the option's value, where its type as a whole says too little."""
    names = {"string_type": "text", "int_type": "a whole number", "float_type": "a number", "bool_type": "true or false"}
    names |= {"list_type": "a list", "tuple_type": "a list", "dict_type": "a section"}
    here = [error for error in errors if _way(given, error["loc"]) == deepest]
    return " or ".join(dict.fromkeys(names.get(error["type"], _said(error).removeprefix("must be ")) for error in here))


def _said(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    return message.replace("Input should be", "must be", 1)


def _way(given: Mapping[str, Any], location: Sequence[str | int]) -> tuple[str | int, ...]:
    """The part of pydantic's location that the document has: it also names members of unions."""
    way: list[str | int] = []
    current: Any = given
    for step in location:
        inside = range(len(current)) if isinstance(current, list) else current if isinstance(current, Mapping) else ()
        if step in inside:
            current = current[step]
            way.append(step)
    return tuple(way)


def _at(given: Mapping[str, Any], way: Sequence[str | int]) -> Any:
    current: Any = given
    for step in way:
        current = current[step]
    return current


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)) or value is None:
        return {dict: "a section", list: "a list", type(None): "nothing"}[type(value)]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _value_hint(annotation: Any, value: Any) -> str:
    choices = [
        choice for member in (annotation, *get_args(annotation)) if get_origin(member) is Literal for choice in get_args(member)
    ]
    if isinstance(value, str):
        texts = [choice for choice in choices if isinstance(choice, str)]
        close = get_close_matches(value, texts, n=1)
        return f"did you mean '{close[0]}'?" if close else ""
    takes_text = "text" in in_words(annotation) or "path" in in_words(annotation)
    return f'put it in quotes: "{_shown(value)}"' if takes_text and isinstance(value, (int, float)) else ""
