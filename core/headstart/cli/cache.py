"""The command that shows and removes what frozen backbones computed for later runs."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import click

from headstart.cli.kit import fetch, import_
from headstart.errors import UsageError
from headstart.store_eviction import Stored, parse_size, remove, shrink, size_limit, stored, sweep, total_bytes
from headstart.store_folder import stores_root

DAY = 86_400.0  # seconds


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cache() -> None:
    """What frozen stages computed, kept on disk for later runs; and kits for machines without a network."""


cache.add_command(fetch)
cache.add_command(import_)


@cache.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def ls(*, as_json: bool) -> None:
    """List the stores, the last used first."""
    stores = stored()[::-1]
    if as_json:
        click.echo(json.dumps([_facts(store) for store in stores], indent=1))
        return
    for store in stores:
        what = f"{_backbone(store)} {store.key.get('boundary', 'damaged')} {store.key.get('view', '')}"
        click.echo(f"{store.digest[:12]}  {megabytes(store.bytes):>12}  {store.rows:>9,} rows  {_when(store)}  {what}".rstrip())
    click.echo(_summary(stores))


@cache.command("info")
@click.argument("digest", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def info(digest: str | None, *, as_json: bool) -> None:
    """Show the folder and its limit, or what the rows of one store depend on; the beginning of its DIGEST is enough."""
    facts = {"folder": str(stores_root()), **_totals(stored())} if digest is None else _facts(_find(digest))
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    key = facts.pop("key", {})
    for name, value in {**facts, **key}.items():
        click.echo(f"{name:<10} {value}")


@cache.command("clean")
@click.option("--all", "is_all", is_flag=True, help="Remove every store that no run uses now.")
@click.option("--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="Remove those not used for so many days.")
@click.option("--to", "size", metavar="SIZE", help="Remove the least recently used until the rest is no larger: 5GB, 500MB.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def clean(*, is_all: bool, older_than: float | None, size: str | None, as_json: bool) -> None:
    """Remove stores; without options the least recently used ones that are over the size limit."""
    sweep(stores_root())
    stores = stored()
    removed, busy = _cleaned(stores, _target(stores, is_all=is_all, older_than=older_than, size=size), older_than)
    if as_json:
        click.echo(json.dumps({"removed": [s.digest for s in removed], "kept": [s.digest for s in busy]}))
        return
    click.echo(f"removed {len(removed)} stores, {megabytes(total_bytes(removed))}")
    for store in busy:
        click.echo(f"kept {store.digest[:12]}: in use, or not removable by this user")


def _target(stores: list[Stored], *, is_all: bool, older_than: float | None, size: str | None) -> int:
    """Bytes that may stay."""
    if sum((is_all, older_than is not None, size is not None)) > 1:
        raise UsageError("--all, --older-than and --to exclude each other; choose one")
    if is_all or older_than is not None:
        return -1  # also stores without a byte
    return size_limit() if size is None else parse_size(size, "--to")


def _cleaned(stores: list[Stored], target: int, older_than: float | None) -> tuple[list[Stored], list[Stored]]:
    if older_than is None:
        return shrink(stores, target)
    old = [store for store in stores if time.time() - store.used > older_than * DAY]
    removed = [store for store in old if remove(store)]
    return removed, [store for store in old if store not in removed]


def _find(digest: str) -> Stored:
    found = [store for store in stored() if store.digest.startswith(digest.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        named = ", ".join(store.digest for store in found)
        raise UsageError(f"'{digest}' begins {len(found)} stores: {named}; type more of one")
    raise UsageError(f"no store '{digest}' in {stores_root()}; `headstart cache ls` lists them")


def _facts(store: Stored) -> dict[str, Any]:
    used = datetime.fromtimestamp(store.used, UTC).isoformat(timespec="seconds")
    facts = {"digest": store.digest, "folder": str(store.folder), "bytes": store.bytes, "rows": store.rows}
    return {**facts, "shards": store.shards, "used": used, "backbone": _backbone(store), "key": store.key}


def _totals(stores: list[Stored]) -> dict[str, Any]:
    return {"stores": len(stores), "bytes": total_bytes(stores), "limit": size_limit()}


def _backbone(store: Stored) -> str:
    """The class alone: "lite:EfficientNetLite0"."""
    return store.key.get("preparing", "?").split(" ")[0].rpartition(".")[2]


def _when(store: Stored) -> str:
    return datetime.fromtimestamp(store.used).strftime("%Y-%m-%d %H:%M")


def _summary(stores: list[Stored]) -> str:
    return f"{len(stores)} stores, {megabytes(total_bytes(stores))} of {megabytes(size_limit())} in {stores_root()}"


def megabytes(size: int) -> str:
    """Bytes for people, in millions."""
    return f"{size / 1e6:,.1f} MB"
