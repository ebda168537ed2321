"""Options: what a part takes in a recipe, read out of its class's source, so that no torch is imported to check or show it."""

from __future__ import annotations

import ast
import inspect
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from operator import or_
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NotRequired,
    TypedDict,
    Union,
    cast,
    get_args,
    get_origin,
    is_typeddict,
)

import griffe

from headstart.components import Component
from headstart.errors import PluginError
from headstart.place import Place
from headstart.source import UnreadableError, canonical, definition_of, lineage, read_class, section_of, value_of

if TYPE_CHECKING:
    from pydantic import BaseModel

ATTRIBUTES = ("modality", "target_kinds", "port_names", "kinds", "needs", "by_gradient", "wraps")
SCALARS: Mapping[str, Any] = {"str": str, "int": int, "float": float, "bool": bool, "None": None, "Any": Any}
PLACES = ("headstart.place.Place", "headstart.Place")  # its home, and where plugins import it from
CONTAINERS: Mapping[str, Any] = {
    "tuple": tuple, "list": list, "dict": dict, "Sequence": Sequence, "Mapping": Mapping, "Literal": Literal, "Union": Union,
    "Optional": typing.Optional,
}  # fmt: skip


@dataclass(frozen=True)
class Option:
    """One keyword-only parameter of a part.

    Attributes:
        annotation: As the source has it, for people.
        type: The same as an object, for checking; Place stays recognisable (`holds_place`).
        default: None where `required`.
        help: The entry of the class's `Args:` section, in one line.
    """

    name: str
    annotation: str
    type: Any
    default: Any = None
    required: bool = False
    help: str = ""

    @property
    def has_place(self) -> bool:
        """Whether it names a file or folder, or several."""
        return holds_place(self.type)


@dataclass(frozen=True)
class PartDescription:
    """What is known of a part without importing it.

    Attributes:
        options: In the order of the signature.
        docstring: The class's text without its `Args:` section.
        attributes: Those of ATTRIBUTES that the class or a base sets to a literal.
    """

    component: Component
    options: tuple[Option, ...]
    summary: str
    docstring: str
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def option(self, name: str) -> Option | None:
        """The option of this name."""
        return next((option for option in self.options if option.name == name), None)


@lru_cache(maxsize=256)
def describe(component: Component) -> PartDescription:
    """Options, docstring and class attributes of a part, read from its source; a part is imported only where that fails.

    Raises:
        PluginError: The import string leads nowhere, or importing it fails.
    """
    try:
        return read_statically(component)
    except UnreadableError:
        return _imported(component)


def read_statically(component: Component) -> PartDescription:
    """As `describe`, but never imports.

    Raises:
        UnreadableError: The source is missing, or says it in a way that only running it can tell.
    """
    classes = list(lineage(read_class(component.target.replace(":", "."))))
    return _described(component, classes, tuple(_static_options(classes)))


def _described(component: Component, classes: Sequence[griffe.Class], options: tuple[Option, ...]) -> PartDescription:
    text = next((_text(cls) for cls in classes if cls.docstring), "")
    summary = text.partition("\n\n")[0].replace("\n", " ") or component.summary
    attributes = {name: value for cls in reversed(classes) for name, value in _literals(cls)}
    return PartDescription(component, options, summary, text, attributes)


def _text(cls: griffe.Class) -> str:
    sections = griffe.parse_google(cls.docstring, warnings=False) if cls.docstring else []
    return "\n\n".join(section.value for section in sections if section.kind is griffe.DocstringSectionKind.text).strip()


def _literals(cls: griffe.Class) -> Iterator[tuple[str, Any]]:
    for name in ATTRIBUTES:
        member = cls.members.get(name)
        if isinstance(member, griffe.Attribute) and member.value is not None:
            try:
                yield name, value_of(str(member.value), cls.module)
            except UnreadableError:
                continue  # computed: known only after import, so the fit checks at building decide


# From signature to options


def _static_options(classes: Sequence[griffe.Class]) -> Iterator[Option]:
    helps = {name: text for cls in reversed(classes) for name, text in _helps(cls)}
    taken: set[str] = set()
    for cls in classes:
        if any("dataclass" in str(decorator.value) for decorator in cls.decorators):
            raise UnreadableError(f"{cls.path} is a dataclass: its signature is made when it is imported")
        init = cls.members.get("__init__")
        if not isinstance(init, griffe.Function):
            continue
        for parameter in init.parameters:
            if parameter.kind is griffe.ParameterKind.keyword_only and parameter.name not in taken:
                taken.add(parameter.name)
                yield _option(parameter, cls.module, helps)
        if not any(parameter.kind is griffe.ParameterKind.var_keyword for parameter in init.parameters):
            return  # without **options the bases' parameters cannot be given


def _option(parameter: griffe.Parameter, module: griffe.Module, helps: Mapping[str, str]) -> Option:
    annotation = str(parameter.annotation) if parameter.annotation is not None else "Any"
    is_required = parameter.default is None
    default = None if is_required else value_of(str(parameter.default), module)
    help_text = helps.get(parameter.name, "")
    return Option(parameter.name, annotation, type_of(annotation, module), default, is_required, help_text)


def _helps(cls: griffe.Class) -> Iterator[tuple[str, str]]:
    init = cls.members.get("__init__")
    for docstring in (cls.docstring, init.docstring if isinstance(init, griffe.Function) else None):
        for section in griffe.parse_google(docstring, warnings=False) if docstring else []:
            if section.kind is griffe.DocstringSectionKind.parameters:
                yield from ((entry.name, " ".join(entry.description.split())) for entry in section.value)


# From annotation to type


def type_of(annotation: str, module: griffe.Module) -> Any:
    """The type that an annotation means, aliases followed; only the plain types that a recipe can hold.

    Raises:
        UnreadableError: It is another type.
    """
    return _type(ast.parse(annotation, mode="eval").body, module)


def _type(node: ast.expr, module: griffe.Module) -> Any:
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return type_of(node.value, module)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Union[_type(node.left, module), _type(node.right, module)]  # noqa: UP007 - made of values, not written
    if isinstance(node, ast.Subscript):
        return _generic(node, module)
    return _named(ast.unparse(node), module)


def _named(name: str, module: griffe.Module) -> Any:
    last = name.rpartition(".")[2]
    if last in SCALARS:
        return SCALARS[last]
    if last in CONTAINERS and last not in module.members:
        return CONTAINERS[last]
    if canonical(name, module) in PLACES:
        return Place
    if (section := section_of(name, module)) is not None:
        return _section(section)
    definition, home = definition_of(name, module)
    return type_of(definition, home)


def _section(cls: griffe.Class) -> Any:
    """A TypedDict of the source as an object: a section within an option's value."""
    fields = {
        member.name: type_of(str(member.annotation), cls.module)
        for member in cls.members.values()
        if isinstance(member, griffe.Attribute) and member.annotation is not None
    }
    return cast(Any, TypedDict)(cls.name, fields)


def _generic(node: ast.Subscript, module: griffe.Module) -> Any:
    name = ast.unparse(node.value).rpartition(".")[2]
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Literal":
        return Literal[tuple(value_of(ast.unparse(item), module) for item in inner)]
    if name == "Annotated":
        return _type(inner[0], module)
    if name == "NotRequired":
        return NotRequired[_type(inner[0], module)]
    if name not in CONTAINERS:
        raise UnreadableError(f"'{ast.unparse(node)}' is no type that a recipe can hold")
    arguments = [Ellipsis if ast.unparse(item) in ("...", "Ellipsis") else _type(item, module) for item in inner]
    return CONTAINERS[name][tuple(arguments) if len(arguments) > 1 else arguments[0]]


def holds_place(annotation: Any) -> bool:
    """Whether Place occurs in a type."""
    is_place = get_origin(annotation) is Annotated and "place" in annotation.__metadata__
    return is_place or any(holds_place(argument) for argument in get_args(annotation) if get_origin(annotation) is not Literal)


# Where the source does not say it


def _imported(component: Component) -> PartDescription:
    """Import the part and look at it."""
    try:
        cls = component.load()
        hints = typing.get_type_hints(cls.__init__, include_extras=True)
    except Exception as error:
        raise PluginError(f"the part '{component.name}' cannot be imported from {component.target}: {error}") from error
    parameters = inspect.signature(cls).parameters.values()
    keywords = [parameter for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    helps = _documented(cls)
    options = tuple(
        Option(
            parameter.name,
            str(parameter.annotation if isinstance(parameter.annotation, str) else parameter.annotation.__name__),
            hints.get(parameter.name, Any),
            None if parameter.default is parameter.empty else parameter.default,
            parameter.default is parameter.empty,
            helps.get(parameter.name, ""),
        )
        for parameter in keywords
    )
    attributes = {name: getattr(cls, name) for name in ATTRIBUTES if isinstance(getattr(cls, name, None), str | tuple | bool)}
    text = inspect.getdoc(cls) or ""
    return PartDescription(component, options, text.partition("\n")[0] or component.summary, text, attributes)


def _documented(cls: type) -> dict[str, str]:
    docstring = griffe.Docstring(inspect.getdoc(cls) or "")
    sections = griffe.parse_google(docstring, warnings=False)
    return {
        entry.name: " ".join(entry.description.split())
        for section in sections
        if section.kind is griffe.DocstringSectionKind.parameters
        for entry in section.value
    }


# The model that checks a recipe's section


@lru_cache(maxsize=256)
def options_model(component: Component) -> type[BaseModel]:
    """A pydantic model of a part's options: unknown keys are refused, scalars are strict (`yes` is no number, 3 no text)."""
    return model_of(component.name, describe(component).options)


def model_of(name: str, options: Sequence[Option], ranges: Mapping[str, Any] | None = None) -> type[BaseModel]:
    """A pydantic model with these fields; `ranges` replaces the type of some by a narrower one."""
    from pydantic import ConfigDict, Field, create_model

    fields: dict[str, Any] = {
        option.name: (
            (ranges or {}).get(option.name, strict(option.type)),
            Field(default=... if option.required else option.default, description=option.help or None),
        )
        for option in options
    }
    return create_model(name, __config__=ConfigDict(extra="forbid", protected_namespaces=()), **fields)


def strict(annotation: Any) -> Any:
    """The same type with scalars that take nothing but themselves (an int passes as a float) and finite numbers only."""
    from pydantic import Field, Strict

    if annotation in (str, int, bool):
        return Annotated[annotation, Strict()]
    if annotation is float:
        return Annotated[float, Strict(), Field(allow_inf_nan=False)]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[strict(arguments[0]), *annotation.__metadata__]
    if origin in (Union, types.UnionType):
        return reduce(or_, [strict(argument) for argument in arguments])
    if origin in (None, Literal):
        return _section_model(annotation) if is_typeddict(annotation) else annotation
    return origin[tuple(argument if argument is Ellipsis else strict(argument) for argument in arguments)]


@lru_cache(maxsize=256)
def _section_model(section: Any) -> type[BaseModel]:
    """A pydantic model of a TypedDict, as strict as the option that holds it."""
    from pydantic import ConfigDict, create_model

    hints = typing.get_type_hints(section, include_extras=True)
    fields: dict[str, Any] = {
        name: (strict(get_args(hint)[0]), None) if get_origin(hint) is NotRequired else (strict(hint), ...)
        for name, hint in hints.items()
    }
    return create_model(section.__name__, __config__=ConfigDict(extra="forbid", protected_namespaces=()), **fields)
