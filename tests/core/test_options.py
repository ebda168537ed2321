"""Options are read out of the source: the same as an import would show, without importing."""

from __future__ import annotations

import inspect
import sys
import typing
from textwrap import dedent
from typing import Literal

import pytest
from pydantic import ValidationError

from headstart.components import KINDS, Component
from headstart.errors import PluginError
from headstart.options import describe, holds_place, options_model
from headstart.place import Place
from headstart.plugins import registry

PARTS = [(kind, name) for kind in KINDS for name in registry().names(kind)]


@pytest.fixture
def part(tmp_path, monkeypatch, request):
    """Write a package whose import is an error, and describe one of its classes."""
    monkeypatch.syspath_prepend(tmp_path)
    package = f"pkg_{abs(hash(request.node.name))}"  # caches go by name

    def write(source: str, *, target: str = "parts:Part", importable: bool = False, **files: str) -> Component:
        home = tmp_path / package
        home.mkdir()
        (home / "__init__.py").write_text("" if importable else "raise RuntimeError('imported')", encoding="utf-8")
        for name, text in {"parts": source, **files}.items():
            (home / f"{name}.py").write_text(dedent(text).replace("PACKAGE", package), encoding="utf-8")
        return Component("x/part", f"{package}.{target}", "a part")

    return write


def test_names_types_defaults_and_help_are_read_without_importing(part):
    described = describe(
        part(
            '''
            from typing import ClassVar, Literal
            from headstart.place import Place
            class Part:
                """What it is,
                on two lines.

                And more.

                Args:
                    rate: Peak rate,
                        > 0.
                    file: Where it is.
                """
                modality: ClassVar[str] = "text"
                kinds = ("class", "labels")
                by_gradient = False
                needs = compute()
                def __init__(self, ports, target, *, rate: float = 1e-4, file: Place, mode: Literal["a", "b"] | None = None,
                             many: tuple[str, ...] = ("x",), low: int = -1, table: dict[str, list[int]] | None = None): ...
            '''
        )
    )
    assert described.summary == "What it is, on two lines."
    assert described.docstring == "What it is,\non two lines.\n\nAnd more."
    assert described.attributes == {"modality": "text", "kinds": ("class", "labels"), "by_gradient": False}
    found = {option.name: (option.type, option.default, option.required, option.help) for option in described.options}
    assert found == {
        "rate": (float, 1e-4, False, "Peak rate, > 0."),
        "file": (Place, None, True, "Where it is."),
        "mode": (Literal["a", "b"] | None, None, False, ""),
        "many": (tuple[str, ...], ("x",), False, ""),
        "low": (int, -1, False, ""),
        "table": (dict[str, list[int]] | None, None, False, ""),
    }


def test_aliases_and_constants_of_other_modules_are_followed(part):
    described = describe(
        part(
            """
            from PACKAGE.names import LIMIT, Mode
            from PACKAGE import names
            class Part:
                def __init__(self, *, mode: Mode = "a", limit: int = LIMIT, other: "names.Mode" = names.FIRST): ...
            """,
            names="""
            from typing import Literal
            Mode = Literal["a", "b"]
            LIMIT = 7
            FIRST = "b"
            """,
        )
    )
    assert [(option.type, option.default) for option in described.options] == [
        (Literal["a", "b"], "a"),
        (int, 7),
        (Literal["a", "b"], "b"),
    ]


def test_options_of_bases_count_where_the_class_passes_them_on(part):
    component = part(
        """
        from typing import Any
        from PACKAGE import base
        class Part(base.Base):
            '''Part.

            Args:
                own: Its own.
            '''
            def __init__(self, *, own: int = 1, **options: Any): super().__init__(**options)
        class Closed(base.Base):
            def __init__(self, *, own: int = 1): super().__init__()
        class Plain(base.Base):
            '''Says nothing of its own.'''
        """,
        base="""
        class Base:
            '''Base.

            Args:
                inherited: From the base.
            '''
            modality = "text"
            def __init__(self, *, inherited: str = "x", own: int = 0): ...
        """,
    )
    described = describe(component)
    assert [(option.name, option.default, option.help) for option in described.options] == [
        ("own", 1, "Its own."),
        ("inherited", "x", "From the base."),
    ]
    assert described.attributes["modality"] == "text"
    closed = describe(Component("x/closed", component.target.replace("Part", "Closed"), ""))
    assert [option.name for option in closed.options] == ["own"]
    plain = describe(Component("x/plain", component.target.replace("Part", "Plain"), ""))
    assert [option.name for option in plain.options] == ["inherited", "own"]


def test_a_class_that_is_imported_from_elsewhere_is_found(part):
    component = part("from PACKAGE.real import Part", real="class Part:\n    def __init__(self, *, here: bool = True): ...")
    assert [option.name for option in describe(component).options] == ["here"]


def test_what_only_running_can_tell_is_imported(part):
    component = part(
        """
        from dataclasses import dataclass
        @dataclass(kw_only=True)
        class Part:
            '''Made when imported.'''
            rate: float = 0.5
            modality = "text"
        """,
        importable=True,
    )
    described = describe(component)
    assert [(option.name, option.type, option.default) for option in described.options] == [("rate", float, 0.5)]
    assert described.attributes == {"modality": "text"}


def test_an_import_string_that_leads_nowhere_is_an_error_of_the_plugin(part):
    with pytest.raises(PluginError, match=r"'x/part' cannot be imported from .*:Missing"):
        describe(part("", target="parts:Missing", importable=True))


def spelt(annotation):
    """A type with its TypedDicts, of which each making is another class, as their fields."""
    if typing.is_typeddict(annotation):
        return {name: spelt(hint) for name, hint in typing.get_type_hints(annotation, include_extras=True).items()}
    if not any(map(typing.is_typeddict, typing.get_args(annotation))):
        return annotation
    return (typing.get_origin(annotation), *map(spelt, typing.get_args(annotation)))


def parameters_of(cls):
    """Name -> keyword-only parameter and its type; what `**options` hands on belongs to the class above."""
    found = {}
    for owner in (owner for owner in cls.__mro__ if "__init__" in vars(owner)):
        parameters = inspect.signature(owner.__init__).parameters.values()
        hints = typing.get_type_hints(owner.__init__, include_extras=True)
        own = {each.name: (each, hints[each.name]) for each in parameters if each.kind is each.KEYWORD_ONLY}
        found = {**own, **found}
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break
    return found


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_every_registered_part_is_described_as_an_import_would_show_it(kind, name):
    described = describe(registry().find(kind, name))
    cls = described.component.load()
    parameters = parameters_of(cls)
    assert {option.name for option in described.options} == set(parameters)
    for option in described.options:
        parameter, hint = parameters[option.name]
        assert spelt(option.type) == spelt(hint)
        assert option.required == (parameter.default is parameter.empty)
        assert option.required or option.default == parameter.default
    for attribute, value in described.attributes.items():
        assert getattr(cls, attribute) == value


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_every_registered_part_says_what_the_fit_checks_ask(kind, name):
    asked = {
        "data": {"modality", "target_kinds"},
        "backbone": {"modality", "port_names"},
        "head": {"kinds", "needs", "by_gradient"},
        "strategy": set(),
        "evaluation": set(),
    }
    assert asked[kind] <= set(describe(registry().find(kind, name)).attributes)


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_every_option_of_every_registered_part_has_help(kind, name):
    assert [option.name for option in describe(registry().find(kind, name)).options if not option.help] == []


def test_describing_everything_imports_no_part():
    import subprocess

    script = (
        "import sys\nfrom headstart.plugins import registry\nfrom headstart.options import describe\n"
        f"for kind in {KINDS!r}:\n    for name in registry().names(kind): describe(registry().find(kind, name))\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.fixture
def model(part):
    return options_model(
        part(
            """
            from typing import Literal
            class Part:
                def __init__(self, *, text: str = "", whole: int = 0, number: float = 0.0, flag: bool = False,
                             names: tuple[str, ...] = (), mode: Literal["a", 1] = "a", either: int | str = 0): ...
            """
        )
    )


@pytest.mark.parametrize(
    ("given", "kept"),
    [({"number": 3}, 3.0), ({"names": ["a"]}, ("a",)), ({"mode": 1}, 1), ({"either": "x"}, "x"), ({"flag": True}, True)],
)
def test_values_of_the_right_type_are_taken(model, given, kept):
    assert getattr(model.model_validate(given), next(iter(given))) == kept


@pytest.mark.parametrize(
    "given",
    [
        {"text": 3},
        {"whole": True},
        {"whole": 2.0},
        {"whole": "3"},
        {"number": "1e-4"},
        {"number": True},
        {"number": float("inf")},
        {"flag": 1},
        {"flag": "yes"},
        {"names": "a"},
        {"names": [1]},
        {"mode": "b"},
        {"unknown": 1},
    ],
)
def test_values_of_another_type_are_refused(model, given):
    with pytest.raises(ValidationError):
        model.model_validate(given)


@pytest.mark.parametrize(
    ("annotation", "holds"),
    [
        (Place, True),
        (Place | None, True),
        (tuple[Place, ...], True),
        (dict[str, Place], True),
        (str, False),
        (Literal["place"], False),
    ],
)
def test_places_are_recognised_inside_other_types(annotation, holds):
    assert holds_place(annotation) is holds
