"""Located documents: YAML 1.2 read as plain data that still knows where each key and value stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import ScalarNode

from headstart.errors import Problem, RecipeError

Key = tuple[str | int, ...]  # the way to a value: ("data", "where", "source")

MEGABYTE = 1_000_000  # longest recipe; a real one has 1-5 KB
DEPTH = 20  # deepest nesting; a real recipe has 3
WIDTH = 160  # longest piece of a line that an error shows
OVERRIDE = "--set"  # stands for the file name where an override is wrong
PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float")}


@dataclass(frozen=True)
class Spot:
    """A place in a text: 1-based line and column, and the line itself."""

    file: str
    line: int
    column: int
    source: str

    def problem(self, message: str, hint: str = "") -> Problem:
        """A fault at this place."""
        shown = self.source.replace("\t", " ")[: max(WIDTH, self.column + WIDTH // 4)]
        return Problem(message, self.file, self.line, self.column, shown, hint)


@dataclass
class Document:
    """Plain data (dict, list, str, int, float, bool, None) and where it stands.

    Attributes:
        keys: Way to a value -> where its key stands; `values` where the value itself does.
        problems: Faults that do not stop the reading: duplicate keys, tags.
    """

    file: str
    data: Any
    keys: dict[Key, Spot] = field(default_factory=dict)
    values: dict[Key, Spot] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def at_key(self, way: Key, message: str, hint: str = "") -> Problem:
        """A fault of a key, or of the nearest section above where the key is not there."""
        return self._problem(way, self.keys, message, hint)

    def at_value(self, way: Key, message: str, hint: str = "") -> Problem:
        """A fault of a value."""
        return self._problem(way, self.values, message, hint)

    def _problem(self, way: Key, first: Mapping[Key, Spot], message: str, hint: str) -> Problem:
        if not self.values:  # data made in Python: the way itself is all there is to say
            dotted = ".".join(map(str, way))
            return Problem(f"{dotted}: {message}" if dotted else message, self.file, hint=hint)
        for length in range(len(way), -1, -1):
            near = way[:length]
            spot = first.get(near) or self.keys.get(near) or self.values.get(near)
            if spot:
                return spot.problem(message, hint)
        return Problem(message, self.file, hint=hint)

    def forget(self, way: Key) -> None:
        """Forget where everything at and below `way` stands."""
        for spots in (self.keys, self.values):
            for known in [known for known in spots if known[: len(way)] == way]:
                del spots[known]


def read_document(path: Path) -> Document:
    """Read a YAML file.

    Raises:
        RecipeError: It is missing, not UTF-8, too long or not YAML; what stands at one key only is left in `problems`.
    """
    return parse(_decode(path), str(path))


def parse(text: str, file: str) -> Document:
    """Read YAML text; `file` is the name that errors show.

    Raises:
        RecipeError: It is not YAML.
    """
    return _Reader(text, file).document()


def override(document: Document, text: str, number: int) -> None:
    """Set one value of the document from "train.seed=3"; its places are then those of `text`, line `number` of `--set`."""
    dotted, equals, _ = text.partition("=")
    way: Key = tuple(part.strip() for part in dotted.split("."))
    here = Spot(OVERRIDE, number, 1, text)
    if not equals or not all(way):
        document.problems.append(here.problem(f"'{text}' is not of the form key=value", "like train.seed=3"))
        return
    value = _Reader(text, OVERRIDE, line=number, column=len(dotted) + 1).document()
    document.problems += value.problems
    _set(document, way, value, [Spot(OVERRIDE, number, column, text) for column in _columns(dotted)])


def _columns(dotted: str) -> list[int]:
    """1-based columns of the parts of a dotted key."""
    columns, start = [], 0
    for part in dotted.split("."):
        columns.append(start + 1 + len(part) - len(part.lstrip()))
        start += len(part) + 1
    return columns


def _set(document: Document, way: Key, value: Document, spots: Sequence[Spot]) -> None:
    if not isinstance(document.data, dict):
        return  # its own problem is reported already
    section: dict[str | int, Any] = document.data
    for length, (name, spot) in enumerate(zip(way[:-1], spots, strict=False), start=1):
        inner = section.get(name)
        if isinstance(inner, str) and length == 1:  # `head: mlp` is short for `head: {use: mlp}`
            inner = section[name] = {"use": inner}
            document.values[(*way[:length], "use")] = document.values.get(way[:length], spot)
        elif not isinstance(inner, dict):
            inner = section[name] = {}
            document.forget(way[:length])
            document.keys[way[:length]] = document.values[way[:length]] = spot
        section = inner
    document.forget(way)
    section[way[-1]] = value.data
    document.keys[way] = spots[-1]
    document.keys.update({(*way, *key): spot for key, spot in value.keys.items()})
    document.values.update({(*way, *key): spot for key, spot in value.values.items()})


def _decode(path: Path) -> str:
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MEGABYTE else b""
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RecipeError([Problem(f"cannot read the recipe: {reason}", str(path))]) from error
    if size > MEGABYTE:
        raise RecipeError([Problem(f"is {size:,} bytes long; a recipe has at most {MEGABYTE:,}", str(path))])
    if b"\0" in content or content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RecipeError([Problem("is not UTF-8 text (UTF-16, or no text at all)", str(path), hint="save it as UTF-8")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        message = f"is not UTF-8: byte 0x{content[error.start]:02x} in line {line}"
        raise RecipeError([Problem(message, str(path), hint="save it as UTF-8")]) from error


class _Reader:
    """One pass over the parser's events. Of `text`, only what follows `column` is read; lines are counted from `line`."""

    def __init__(self, text: str, file: str, *, line: int = 1, column: int = 0) -> None:
        self.file, self.line, self.column = file, line, column
        self.lines = text.splitlines() or [""]
        self.text = text[column:]
        self.result = Document(file, None)
        self.scalars = YAML(typ="safe", pure=True)

    def document(self) -> Document:
        """All of the text as one document."""
        try:
            events = iter(YAML(typ="safe", pure=True).parse(self.text))
            self.result.data = self._first(events)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise RecipeError([self._syntax(mark, f"not YAML: {error.problem or error.context}")]) from error
        except (YAMLError, ValueError) as error:
            raise RecipeError([Problem(f"is not YAML: {' '.join(str(error).split())[:WIDTH]}", self.file)]) from error
        return self.result

    def _first(self, events: Iterator[Event]) -> Any:
        found: list[Any] = []
        for event in events:
            if isinstance(event, DocumentStartEvent) and event.version and tuple(event.version) != (1, 2):
                raise RecipeError([self._syntax(event.start_mark, "recipes are YAML 1.2; remove the %YAML line")])
            if isinstance(event, (ScalarEvent, MappingStartEvent, SequenceStartEvent, AliasEvent)):
                if found:
                    raise RecipeError([self._syntax(event.start_mark, "a second document begins; a recipe is one")])
                found.append(self._value(event, events, ()))
        return found[0] if found else None

    def _value(self, event: Any, events: Iterator[Event], way: Key) -> Any:
        self.result.values[way] = spot = self._spot(event.start_mark)
        if len(way) > DEPTH:
            raise RecipeError([spot.problem(f"nested deeper than {DEPTH} levels")])
        if isinstance(event, AliasEvent):
            self.result.problems.append(spot.problem(f"'*{event.anchor}': recipes have no aliases", "write the value itself"))
            return None
        if event.tag is not None:
            self.result.problems.append(spot.problem(f"'{event.tag}': recipes have no tags", "remove it"))
        if event.anchor is not None:
            self.result.problems.append(spot.problem(f"'&{event.anchor}': recipes have no anchors", "remove it"))
        if isinstance(event, MappingStartEvent):
            return self._mapping(events, way)
        return self._sequence(events, way) if isinstance(event, SequenceStartEvent) else self._scalar(event, spot)

    def _mapping(self, events: Iterator[Event], way: Key) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for event in events:
            if isinstance(event, MappingEndEvent):
                break
            spot = self._spot(event.start_mark)
            if not isinstance(event, ScalarEvent):
                raise RecipeError([spot.problem("a key must be one word")])
            key = (*way, event.value)  # keys are texts as they stand: `0: negative` names the label "0"
            if event.value in mapping:
                first = self.result.keys[key].line
                self.result.problems.append(spot.problem(f"the key '{event.value}' stands twice", f"first in line {first}"))
            self.result.keys[key] = spot
            mapping[event.value] = self._value(value := next(events), events, key)
            if isinstance(value, ScalarEvent) and not value.value:  # the parser places an empty value lines below its key
                self.result.values[key] = spot
        return mapping

    def _sequence(self, events: Iterator[Event], way: Key) -> list[Any]:
        items: list[Any] = []
        for event in events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self._value(event, events, (*way, len(items))))
        return items

    def _scalar(self, event: Any, spot: Spot) -> Any:
        """The value by YAML 1.2 rules; dates stay texts, since recipes have none."""
        tag = str(self.scalars.resolver.resolve(ScalarNode, event.value, event.implicit))
        if not event.implicit[0] or tag not in PLAIN_TAGS:
            return str(event.value)
        try:
            return self.scalars.constructor.construct_object(ScalarNode(tag, event.value))
        except (ValueError, OverflowError, YAMLError):
            self.result.problems.append(spot.problem(f"'{str(event.value)[:40]}' is not a number that can be read"))
            return None

    def _spot(self, mark: StringMark | None) -> Spot:
        line, column = (mark.line, mark.column) if mark else (0, 0)
        source = self.lines[min(line, len(self.lines) - 1)]
        return Spot(self.file, self.line + line, column + 1 + (self.column if line == 0 else 0), source)

    def _syntax(self, mark: StringMark | None, message: str) -> Problem:
        return self._spot(mark).problem(message)
