"""The pages of docs/reference, written out of docstrings: `python docs/reference.py` brings them up to date.

One page for each base class, one for each hook, one for the checks of the conformance kit, and `docs/api.txt`, the public
API as it was at the last release. With `--check` nothing is written and exit code 1 tells which pages are old; `--release`
also writes `docs/api.txt` anew.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import headstart
from headstart import hookspecs
from headstart.builtin import plugin as core
from headstart.discovery import HOOKS, KNOWN_HOOKS
from headstart.testing import checks_for
from headstart.testing.running import MODULES

FOLDER = Path(__file__).parent / "reference"
API = Path(__file__).parent / "api.txt"
MADE = "<!-- written by docs/reference.py: change the docstring, not this page -->"
BASES = ("Backbone", "Head", "Strategy", "Data", "Evaluation")
RECORDS = (
    "Component",
    "Example",
    "Target",
    "Stage",
    "WeightsCard",
    "Prediction",
    "Group",
    "Phase",
    "Model",
    "Part",
    "Recipe",
    "Run",
)
CASES = ("BackboneCase", "HeadCase", "StrategyCase", "DataCase", "PluginCase")
SECTION = re.compile(r"^(?P<name>Args|Attributes|Class attributes|Raises|Returns|Example):$", re.MULTILINE)
ENTRY = re.compile(r"^    (?P<name>[\w, .]+): ", re.MULTILINE)


def pages() -> dict[str, str]:
    """Every page by its file name."""
    made = {f"{name.lower()}.md": class_page(getattr(headstart, name)) for name in BASES}
    made["records.md"] = "\n".join(
        ["# Plain data", "", *(line for name in RECORDS for line in record(getattr(headstart, name)))]
    )
    made |= {f"{name}.md": hook_page(name) for name in KNOWN_HOOKS}
    made["checks.md"] = checks_page()
    made["README.md"] = index(made)
    return {name: f"{MADE}\n\n{text.strip()}\n" for name, text in made.items()}


def class_page(cls: type[Any]) -> str:
    """A base class: what it is, and each method with its own words."""
    methods = [
        line
        for name, member in vars(cls).items()
        if not name.startswith("_") and (function := function_of(member))
        for line in (
            "",
            f"## `{name}{signature(function, is_property=isinstance(member, property))}`",
            "",
            *words(function),
            *flag(function),
        )
    ]
    return "\n".join([f"# `headstart.{cls.__name__}`", "", *words(cls), *methods])


def record(cls: type[Any]) -> Iterator[str]:
    """A class of plain data, as a section."""
    yield from (f"## `headstart.{cls.__name__}`", "", *words(cls), "")


def hook_page(name: str) -> str:
    """A hook: what it says, what it has to yield, and how the core itself implements it."""
    spec = getattr(hookspecs, name)
    returns = str(inspect.signature(spec).return_annotation)
    lines = [f"# `{name}() -> {returns}`", "", *words(spec), ""]
    base = {"backbone": "backbone", "head": "head", "strategy": "strategy", "data": "data", "evaluation": "evaluation"}.get(
        HOOKS.get(name, "")
    )
    if base:
        lines += [f"The class that a component names: [`headstart.{base.capitalize()}`]({base}.md).", ""]
    if (own := getattr(core, name, None)) is not None:
        lines += [
            "The core's own, in [builtin/plugin.py](../../core/headstart/builtin/plugin.py):",
            "",
            "<!-- not run: a part of the core's own module -->",
            "```python",
            inspect.getsource(own).rstrip(),
            "```",
        ]
    return "\n".join(lines)


def checks_page() -> str:
    """Every check of the conformance kit, and the cases that say what it runs with."""
    lines = [
        "# Checks",
        "",
        "What `headstart plugins test` and `headstart.testing` hold parts to. A check is a function of a case.",
        "",
    ]
    for kind in MODULES:
        lines += [f"## {kind}", "", "| check | what it holds |", "|---|---|"]
        lines += [f"| `{check.__name__}` | {' '.join((inspect.getdoc(check) or '').split())} |" for check in checks_for(kind)]
        lines += [""]
    lines += ["## Cases", ""]
    from headstart import testing

    for name in CASES:
        lines += [f"### `headstart.testing.{name}`", "", *words(getattr(testing, name)), ""]
    return "\n".join(lines)


def index(made: dict[str, str]) -> str:
    """Links to all pages."""
    titles = {name: text.partition("\n")[0].lstrip("# ") for name, text in made.items()}
    return "\n".join(
        ["# Reference", "", "Written out of the docstrings.", "", *(f"* [{title}]({name})" for name, title in titles.items())]
    )


def words(thing: Any) -> list[str]:
    """A docstring as Markdown: its sections as lists."""
    text = inspect.getdoc(thing) or ""
    parts = SECTION.split(text)
    lines = [parts[0].strip()]
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        lines += ["", f"**{name}**", ""]
        if name == "Example":
            lines += ["<!-- not run: it stands in a test file -->", "```python", inspect.cleandoc(body), "```"]
        elif name == "Returns":
            lines += [" ".join(body.split())]
        else:
            entries = ENTRY.split(body.rstrip())
            lines += [f"* `{key}`: {' '.join(value.split())}" for key, value in zip(entries[1::2], entries[2::2], strict=True)]
    return [line.rstrip() for line in lines]


def flag(function: Callable[..., Any]) -> list[str]:
    """Whether a method has to be written."""
    return ["", "*Has to be written.*"] if getattr(function, "__isabstractmethod__", False) else []


def function_of(member: Any) -> Callable[..., Any] | None:
    """The function behind a method, class method or property; None for anything else."""
    if isinstance(member, property):
        return member.fget
    found = getattr(member, "__func__", member)
    return found if inspect.isfunction(found) else None


def signature(function: Callable[..., Any], *, is_property: bool = False) -> str:
    """Its parameters without `self`, annotations left out."""
    if is_property:
        return ""
    shown = [plain(each) for each in inspect.signature(function).parameters.values() if each.name not in ("self", "cls")]
    kinds = [each.kind for each in inspect.signature(function).parameters.values() if each.name not in ("self", "cls")]
    first = next((at for at, kind in enumerate(kinds) if kind is inspect.Parameter.KEYWORD_ONLY), None)
    if first is not None and inspect.Parameter.VAR_POSITIONAL not in kinds:
        shown.insert(first, "*")
    return f"({', '.join(shown)})"


def plain(parameter: inspect.Parameter) -> str:
    """A parameter with its default."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
    return f"{stars}{parameter.name}{default}"


def api() -> list[str]:
    """The public API, one line for each name of `headstart.__all__` and each public method and field of its classes."""
    lines = []
    for name in headstart.__all__:
        thing = getattr(headstart, name)
        lines.append(f"{name}{signature(thing)}" if inspect.isfunction(thing) else name)
        if inspect.isclass(thing) and not str(thing.__module__).startswith(("collections", "typing")):
            lines += sorted(f"{name}.{each}" for each in members(thing))
    from headstart import testing

    return [*lines, *(f"testing.{name}" for name in testing.__all__), *KNOWN_HOOKS]


def members(cls: type[Any]) -> Iterator[str]:
    """Public methods with their parameters, and fields."""
    for name in {*vars(cls), *getattr(cls, "__annotations__", {})}:
        if name.startswith("_"):
            continue
        function = function_of(vars(cls).get(name))
        is_method = function is not None and not isinstance(vars(cls).get(name), property)
        yield f"{name}{signature(function)}" if is_method and function else name


def main() -> int:
    """Write or check; the exit code."""
    wanted, is_check = pages(), "--check" in sys.argv
    if "--release" in sys.argv:
        API.write_text("\n".join(api()) + "\n", encoding="utf-8")
    old = [name for name, text in wanted.items() if not (FOLDER / name).exists() or (FOLDER / name).read_text("utf-8") != text]
    old += [path.name for path in FOLDER.glob("*.md") if path.name not in wanted]
    if is_check:
        for name in old:
            print(f"docs/reference/{name} is older than the code; run: python docs/reference.py", file=sys.stderr)
        return 1 if old else 0
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.md"):
        path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
