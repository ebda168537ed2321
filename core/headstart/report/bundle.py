"""The bundle: Vega, Vega-Lite and Vega-Embed as one script, made once for each version of them and kept."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from headstart.files import write_text
from headstart.store_folder import StoreError, check_trusted, make_folder, stores_root

SNIPPET = "window.vegaEmbed = vegaEmbed;"  # what the page calls


@lru_cache(maxsize=1)
def bundle() -> str:
    """The script (0.9 MB). Making it takes 2.4 CPU-seconds, so it is kept in `$HEADSTART_CACHE/report`, where that can be.

    A folder into which others could write is not read: what lies there would run in every reader's browser.
    """
    path = stores_root().parent / "report" / f"vega-{version('vl-convert-python')}.js"
    return _kept(path) or _made(path)


def _kept(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError, StoreError):
        check_trusted(path.parent)
        return path.read_text(encoding="utf-8")
    return ""


def _made(path: Path) -> str:
    import vl_convert

    made = str(vl_convert.javascript_bundle(SNIPPET)).replace("</script", "<\\/script")
    with suppress(OSError, StoreError):
        make_folder(path.parent)
        write_text(path, made, site="bundle")
    return made
