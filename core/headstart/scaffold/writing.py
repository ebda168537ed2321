"""Writing: the files of a new plugin package, all of them or none."""

from __future__ import annotations

import math
import random
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from headstart.errors import UsageError
from headstart.scaffold.naming import Names, names_for
from headstart.version import __version__

KINDS = ("backbone", "head", "strategy", "data")
TEMPLATES = Path(__file__).parent / "templates"
PARTS: Mapping[str, tuple[str, str, str, str]] = {
    # kind -> hook, thing, class, summary
    "backbone": ("backbones", "net", "Net", "a small network on signals; replace it by your pretrained one"),
    "head": ("heads", "prototypes", "Prototypes", "one learnt vector per label; the nearest one wins"),
    "strategy": ("strategies", "top-down", "TopDown", "the head first, then the top stages with it"),
    "data": ("data", "signals", "Signals", "signals and their labels out of a csv file"),
}
TRAINING = {True: "stages: 3, epochs: 20, lr: 0.05", False: "epochs: 30, lr: 0.01"}  # of its own strategy, of the core's
PLAIN_TEST = {"recipe_imports": "", "recipe_arguments": "tmp_path: Path", "recipe_preparation": ""}
STAND_IN_TEST = {
    "recipe_imports": "import pytest\n\n",
    "recipe_arguments": "tmp_path: Path, monkeypatch: pytest.MonkeyPatch",
    "recipe_preparation": '    monkeypatch.setenv("HEADSTART_PLUGIN_FILES", str(ROOT / "tests/stand_ins.py"))\n',
}
PLACE = re.compile(r"@\{(?P<name>[a-z_]+)\}")
LINE = 128  # characters; the written pyproject.toml says so to ruff
OF_THE_CORE = {"head": "linear", "strategy": "full"}  # what a recipe names where the package has none of its own


def write_package(name: str, kinds: Sequence[str] = (), folder: Path | None = None) -> Path:
    """Write a package of this name below a folder and return its path.

    Args:
        name: Of the distribution: "headstart-audio".
        kinds: Of the parts that it offers; none = all four.
        folder: None = the working directory.

    Raises:
        UsageError: The name is bad or taken, or something of that name is there; nothing is written then.
    """
    names, chosen = names_for(name), [kind for kind in KINDS if kind in kinds] or list(KINDS)
    home = (folder or Path.cwd()).resolve()
    target = home / name
    if target.exists() or target.is_symlink():
        raise UsageError(f"'{target}' exists already; choose another name or go to another folder")
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=home) as scratch:
            package = Path(scratch) / name
            for path, text in package_files(names, chosen).items():
                (package / path).parent.mkdir(parents=True, exist_ok=True)
                (package / path).write_text(text, encoding="utf-8")
            shutil.move(package, target)
    except OSError as error:
        raise UsageError(f"'{target}' cannot be written: {error.strerror}") from error
    return target


def package_files(names: Names, kinds: Sequence[str]) -> dict[str, str]:
    """Every file of the package by its path."""
    words = _words(names, kinds)
    source = f"src/{names.module}"
    files = {
        "pyproject.toml": _filled("pyproject.toml", words),
        "README.md": _filled("README.md", words),
        ".gitignore": "__pycache__/\n*.egg-info/\nruns/\n",
        ".github/workflows/tests.yml": _filled("tests.yml", words),
        f"{source}/__init__.py": f'"""{words["title"]} for headstart."""\n',
        f"{source}/py.typed": "",
        f"{source}/plugin.py": _plugin(words, kinds),
        f"{source}/cases.py": _cases(words, kinds),
        "tests/test_contract.py": _filled("test_contract.py", words),
        "tests/test_recipe.py": _filled("test_recipe.py", words),
        f"{words['recipe_folder']}/example.yaml": _filled("example.yaml", words),
        f"{words['recipe_folder']}/signals.csv": signals(),
    }
    files |= {f"{source}/{kind}.py": _filled(f"{kind}.py", words) for kind in kinds}
    if missing := [kind for kind in ("backbone", "data") if kind not in kinds]:
        files["tests/stand_ins.py"] = _stand_ins(words, missing)
    return files


def _words(names: Names, kinds: Sequence[str]) -> dict[str, str]:
    """What stands at the places of the templates."""
    major, minor = __version__.split(".")[:2]
    is_whole = {"backbone", "data"} <= set(kinds)
    used = {kind: f"{names.prefix}/{PARTS[kind][1]}" for kind in kinds}
    used = {kind: used.get(kind) or OF_THE_CORE.get(kind) or f"stand-in/{PARTS[kind][1]}" for kind in KINDS}
    folder = f"src/{names.module}/recipes/{names.prefix}" if is_whole else "tests"
    flag = "" if is_whole else "--plugin tests/stand_ins.py "
    return {
        "distribution": names.distribution,
        "module": names.module,
        "prefix": names.prefix,
        "title": names.prefix.replace("-", " ").capitalize(),
        "core_range": f"headstart>={major}.{minor},<{major}.{int(minor) + 1}",
        "recipe_folder": folder,
        "recipe": f"{names.prefix}/example" if is_whole else "tests/example.yaml",
        "plugin_flag": flag,
        **(PLAIN_TEST if is_whole else STAND_IN_TEST),
        "table": "\n".join(f"| `{names.prefix}/{PARTS[kind][1]}` | {kind} | {PARTS[kind][3]} |" for kind in kinds),
        "strategy": f"{{use: {used['strategy']}, {TRAINING['strategy' in kinds]}}}",
        **{f"use_{kind}": name for kind, name in used.items()},
    }


def _filled(template: str, words: Mapping[str, str]) -> str:
    text = (TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
    return PLACE.sub(lambda match: words[match["name"]], text)


def _plugin(words: Mapping[str, str], kinds: Sequence[str]) -> str:
    hooks = "".join(_hook(kind, f"{words['module']}.{kind}", words["prefix"]) for kind in kinds)
    ending = "recipes" if words["recipe_folder"] != "tests" else "cases"
    return _with_used_imports(_filled("plugin.py", words) + hooks + _filled(f"plugin_{ending}.py", words))


def _hook(kind: str, home: str, prefix: str) -> str:
    hook, thing, name, summary = PARTS[kind]
    arguments = "".join(f'        "{each}",\n' for each in (f"{prefix}/{thing}", f"{home}:{name}", summary))
    opening = f'@hookimpl\ndef headstart_{hook}() -> Iterator[Component]:\n    """{hook.capitalize()} of this plugin."""\n'
    return f"\n\n{opening}    yield Component(\n{arguments}    )\n"


def _cases(words: Mapping[str, str], kinds: Sequence[str]) -> str:
    blocks = dict(_blocks(_filled("cases.py", words)))
    body = "".join(blocks[kind] for kind in kinds)
    functions = "".join(blocks.get(f"{kind}-functions", "") for kind in kinds)
    return _with_used_imports(
        f"{blocks['opening']}\n\ndef cases() -> list[Case]:\n{blocks['doc']}    return [\n{body}    ]\n{functions}"
    )


def _with_used_imports(text: str) -> str:
    """The text without imports of names that do not occur in it, and without the blank lines that these leave."""
    lines = []
    for line in text.splitlines():
        if line.startswith(("import ", "from ")) and "__future__" not in line:
            start, _, names = line.rpartition("import ")
            kept = [name for name in names.split(", ") if len(re.findall(rf"\b{name.split()[-1]}\b", text)) > 1]
            lines += [f"{start}import {', '.join(kept)}"] if kept else []
        else:
            lines.append(line)
    return re.sub(r"\n{3,}(?=from|import)", "\n\n", "\n".join(lines) + "\n")


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Named blocks of a template; each begins with a line `#: name`."""
    for part in re.split(r"^#: ", text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        yield name, body


def _stand_ins(words: Mapping[str, str], kinds: Sequence[str]) -> str:
    """One plugin file with the parts that the package does not offer, so that its recipe runs."""
    sources = [_filled(f"{kind}.py", words) for kind in kinds]
    imports = sorted({line for source in sources for line in _imports(source)}, key=_import_order)
    bodies = "".join(f"\n\n{source[source.index('class ') :]}" for source in sources)
    hooks = "".join(_hook(kind, "stand_ins", "stand-in") for kind in kinds)
    opening = (
        '"""Stand-ins for parts that this package does not offer, so that its recipe runs (`--plugin tests/stand_ins.py`)."""'
    )
    lines = [
        opening,
        "",
        "from __future__ import annotations",
        "",
        *_grouped([*imports, "from headstart import Component, hookimpl", ITERATOR]),
    ]
    return "\n".join(lines) + "\n" + hooks + bodies


ITERATOR = "from collections.abc import Iterator"


def _imports(source: str) -> Iterator[str]:
    for line in source.splitlines():
        if line.startswith(("import ", "from ")) and "__future__" not in line:
            yield line


def _import_order(line: str) -> tuple[int, bool, str]:
    """Standard library, others, headstart; `import` before `from`, as formatters have it."""
    module = line.split()[1]
    top = module.partition(".")[0]
    group = 2 if top == "headstart" else 0 if top in ("collections", "csv", "pathlib", "typing") else 1
    return group, line.startswith("from "), module


def _grouped(lines: Sequence[str]) -> list[str]:
    """Imports with one line per module, in groups with a blank line between."""
    names: dict[str, set[str]] = {}
    for line in lines:
        if line.startswith("from "):
            module, _, imported = line.removeprefix("from ").partition(" import ")
            names.setdefault(f"from {module} import", set()).update(name.strip() for name in imported.split(","))
        else:
            names.setdefault(line, set())
    whole = [_import(start, sorted(found)) if found else start for start, found in names.items()]
    grouped: list[str] = []
    for line in sorted(whole, key=_import_order):
        if grouped and _import_order(grouped[-1])[0] != _import_order(line)[0]:
            grouped.append("")
        grouped.append(line)
    return grouped


def _import(start: str, names: Sequence[str]) -> str:
    """One import; where it is too long for a line, a line for each name."""
    line = f"{start} {', '.join(names)}"
    return line if len(line) <= LINE else f"{start} (\n" + "".join(f"    {name},\n" for name in names) + ")"


def signals(count: int = 64, length: int = 48) -> str:
    """A csv of noisy waves, half of them smooth and half of them square, the same each time."""
    generator = random.Random(0)  # noqa: S311 - no secret: an example's noise
    rows = ["id,label,signal"]
    for number in range(count):
        label = ("smooth", "square")[number % 2]
        period, start = generator.uniform(8, 20), generator.uniform(0, 1)
        waves = [math.sin(2 * math.pi * (at / period + start)) for at in range(length - number % 7)]
        values = [(wave if label == "smooth" else math.copysign(0.8, wave)) + generator.gauss(0, 0.15) for wave in waves]
        rows.append(f"s{number:02},{label},{' '.join(f'{value:.2f}' for value in values)}")
    return "\n".join(rows) + "\n"
