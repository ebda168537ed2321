"""The tables of options in these pages, written out of the code: `python docs/tables.py` brings them up to date.

A table stands between `<!-- options: NAME -->` and `<!-- end -->`, where NAME is a section of the recipe (`split`, `train`) or
a kind and a registered name (`strategy gradual`). With `--check` nothing is written and exit code 1 tells that a page is old.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from headstart.components import Kind
from headstart.options import Option, describe
from headstart.plans import PLANS, plan_options
from headstart.plugins import registry
from headstart.wording import in_words

PAGES = Path(__file__).parent
BLOCK = re.compile(r"(?P<start><!-- options: (?P<name>[\w /.-]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)


def up_to_date(page: str) -> str:
    """The page with every table written anew."""
    return BLOCK.sub(lambda match: match["start"] + table(options_of(match["name"])) + match["end"], page)


def options_of(name: str) -> Sequence[Option]:
    """The options of a section or of a part, "kind name"."""
    if name in PLANS:
        return plan_options(name)
    kind, _, part = name.partition(" ")
    return describe(registry().find(cast(Kind, kind), part)).options


def table(options: Sequence[Option]) -> str:
    """A Markdown table, one row per option."""
    rows = [f"| `{o.name}` | {cell(in_words(o.type))} | {default(o)} | {cell(o.help)} |" for o in options]
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows]) + "\n"


def default(option: Option) -> str:
    """As one would write it in a recipe."""
    return "required" if option.required else f"`{as_yaml(option.default)}`".replace("|", r"\|")


def as_yaml(value: Any) -> str:
    """The value in YAML's flow form."""
    return str(value) if isinstance(value, str) and re.fullmatch(r"[\w-][\w:./-]*", value) else json.dumps(value)


def cell(text: str) -> str:
    """Text that does not end its cell."""
    return text.replace("|", r"\|")


def main() -> int:
    """Write or check all pages; the exit code."""
    old = [path for path in sorted(PAGES.glob("*.md")) if (text := path.read_text("utf-8")) != up_to_date(text)]
    for path in old:
        if "--check" in sys.argv:
            print(f"{path}: its tables are older than the code; run: python docs/tables.py", file=sys.stderr)
        else:
            path.write_text(up_to_date(path.read_text("utf-8")), "utf-8")
    return 1 if old and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
