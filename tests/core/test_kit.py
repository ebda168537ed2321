"""Kits: what is packed comes out as it was, and a damaged or hostile kit moves nothing."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headstart import faults
from headstart.errors import DataError, HeadstartError, MissingError, UsageError
from headstart.kit import fetch_kit
from headstart.kit_import import import_kit
from headstart.place import locate
from headstart.recipe import Recipe
from headstart.recipe_file import recipe_from_mapping

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SNAPSHOT = f"models--someone--tiny/snapshots/{COMMIT}"
WEIGHTS = b"weights " * 100


@pytest.fixture(autouse=True)
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Every home of this test lies in one empty folder."""
    root = tmp_path / "homes"
    monkeypatch.setenv("TORCH_HOME", str(root / "torch"))
    monkeypatch.setenv("HEADSTART_CACHE", str(root / "cache"))
    monkeypatch.setenv("HOME", str(root / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(root / "hub"))
    yield root
    faults.arm("")


def entry(home: str, path: str, content: bytes = WEIGHTS, **changes: Any) -> dict[str, Any]:
    facts = {"what": "weights", "source": "someone/tiny@v1", "licence": "mit", "blob": ""}
    digest = hashlib.sha256(content).hexdigest()
    return {"home": home, "path": path, "sha256": digest, "bytes": len(content), **facts, **changes}


def manifest(*entries: dict[str, Any], **changes: Any) -> dict[str, Any]:
    facts = {"format": 1, "headstart": "0.1.0", "made": "2026-01-01T00:00:00+00:00", "recipes": [], "has_data": False}
    return {**facts, "absent": [], "files": list(entries), **changes}


def write_kit(path: Path, told: dict[str, Any], members: dict[str, bytes] | None = None, *, compressed: bool = False) -> Path:
    """A kit as any program may write one; members are those of the list unless others are given."""
    held = members if members is not None else {f"{e['home']}/{e['path']}": WEIGHTS for e in told["files"]}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        archive.writestr("manifest.json", json.dumps(told))
        for name, content in held.items():
            archive.writestr(name, content)
    return path


def snapshot() -> list[dict[str, Any]]:
    """A repository of two files at a tag."""
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    weights = entry("hub", f"{SNAPSHOT}/model.safetensors", blob=digest)
    config = entry("hub", f"{SNAPSHOT}/config.json", b"{}")
    return [weights, config, entry("hub", "models--someone--tiny/refs/v1", COMMIT.encode())]


def write_snapshot(path: Path) -> Path:
    names = ["model.safetensors", "config.json"]
    members = {f"hub/{SNAPSHOT}/{name}": content for name, content in zip(names, (WEIGHTS, b"{}"), strict=True)}
    return write_kit(path, manifest(*snapshot()), {**members, "hub/models--someone--tiny/refs/v1": COMMIT.encode()})


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() or path.is_symlink())


# what a kit brings


def test_each_home_gets_its_files_and_a_second_import_finds_them(tmp_path: Path, homes: Path) -> None:
    entries = [entry("torch", "net-0123abcd.pth"), entry("medmnist", "breastmnist.npz"), entry("files", "weights/0/x.bin")]
    kit = write_kit(tmp_path / "kit.zip", manifest(*entries))
    assert import_kit(kit, tmp_path / "into").new == 3
    places = [homes / "torch/hub/checkpoints/net-0123abcd.pth", homes / "home/.medmnist/breastmnist.npz"]
    assert all(place.read_bytes() == WEIGHTS for place in [*places, tmp_path / "into/weights/0/x.bin"])
    assert len(files(homes)) == 2, "nothing else is left"
    again = import_kit(kit, tmp_path / "into")
    assert (again.new, again.kept) == (0, 3)


def test_a_snapshot_of_the_hub_lies_as_the_hubs_library_lays_it(tmp_path: Path, homes: Path) -> None:
    from huggingface_hub import hf_hub_download, scan_cache_dir

    import_kit(write_snapshot(tmp_path / "kit.zip"), tmp_path / "into")
    options: dict[str, Any] = {"revision": "v1", "local_files_only": True}
    found = Path(hf_hub_download("someone/tiny", "model.safetensors", cache_dir=homes / "hub", **options))
    assert found.read_bytes() == WEIGHTS
    assert found.resolve().name == hashlib.sha256(WEIGHTS).hexdigest()
    (repository,) = scan_cache_dir(homes / "hub").repos
    assert (repository.repo_id, repository.nb_files, [*repository.refs]) == ("someone/tiny", 2, ["v1"])
    assert scan_cache_dir(homes / "hub").warnings == []


def test_what_is_absent_of_a_snapshot_is_added(tmp_path: Path, homes: Path) -> None:
    there = homes / "hub" / SNAPSHOT
    there.mkdir(parents=True)
    (there / "config.json").write_bytes(b"{}")
    found = import_kit(write_snapshot(tmp_path / "kit.zip"), tmp_path / "into")
    assert (found.new, found.kept) == (2, 1)
    assert (there / "model.safetensors").read_bytes() == WEIGHTS


def test_a_file_of_a_package_that_is_not_installed_is_found_where_a_kit_put_it(tmp_path: Path) -> None:
    for version, content in (("0.9", b"old"), ("0.10", b"new")):
        told = manifest(entry("packages", f"no-such-weights/{version}/model/net.bin", content))
        member = {f"packages/no-such-weights/{version}/model/net.bin": content}
        import_kit(write_kit(tmp_path / f"{version}.zip", told, member), tmp_path / "into")
    assert locate("package:no-such-weights/model/net.bin").read_bytes() == b"new"
    with pytest.raises(MissingError, match="pip install no-such-weights"):
        locate("package:no-such-weights/model/other.bin")


# what is packed


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """Weights in a folder and data in a file, both beside the recipe; packing loads neither."""
    folder = tmp_path / "source" / "net"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path / "source" / "texts.csv").write_text("text,label\na,x\nb,y\n")
    text = "name: my moods\ndata: {use: table, path: texts.csv}\nbackbone: {use: nlp/encoder, weights: net}\n"
    (tmp_path / "source" / "recipe.yaml").write_text(text)
    return Recipe.load(tmp_path / "source" / "recipe.yaml")


def test_local_weights_and_data_come_with_a_recipe_whose_places_lead_to_them(recipe: Recipe, tmp_path: Path) -> None:
    packed = fetch_kit([recipe, recipe], tmp_path / "kit.zip", with_data=True)
    assert packed.recipes == ["my-moods.yaml", "my-moods-2.yaml"]
    assert {e.source: e.licence for e in packed.files if e.what == "weights"} == {"net": "mit"}
    assert str(tmp_path) not in json.dumps(packed.model_dump()), "a path of this machine may hold a name"
    import_kit(tmp_path / "kit.zip", tmp_path / "there")
    for name in packed.recipes:
        there = Recipe.load(tmp_path / "there" / name)
        assert (Path(there.backbone.options["weights"]) / "model.safetensors").read_bytes() == WEIGHTS
        assert Path(there.data.options["path"]).read_text() == "text,label\na,x\nb,y\n"
        assert str(tmp_path / "there") in there.data.options["path"]


def test_data_stay_where_they_are_unless_they_are_asked_for(recipe: Recipe, tmp_path: Path) -> None:
    packed = fetch_kit([recipe], tmp_path / "kit.zip")
    assert (packed.has_data, packed.absent) == (False, ["texts.csv"])
    assert not any(e.what == "data" for e in packed.files)


def test_two_files_of_one_name_do_not_meet(recipe: Recipe, tmp_path: Path) -> None:
    other = tmp_path / "source" / "other" / "net"
    other.mkdir(parents=True)
    (other / "model.safetensors").write_bytes(b"others")
    mapping = {
        "name": "b",
        "data": {"use": "table", "path": "none.csv"},
        "backbone": {"use": "nlp/encoder", "weights": str(other)},
    }
    fetch_kit([recipe, recipe_from_mapping(mapping)], tmp_path / "kit.zip")
    import_kit(tmp_path / "kit.zip", tmp_path / "there")
    found = [Recipe.load(tmp_path / "there" / name).backbone.options["weights"] for name in ("my-moods.yaml", "b.yaml")]
    assert [(Path(place) / "model.safetensors").read_bytes() for place in found] == [WEIGHTS, b"others"]


def test_the_same_files_give_the_same_kit_but_for_its_time(recipe: Recipe, tmp_path: Path) -> None:
    first, second = (fetch_kit([recipe], tmp_path / f"{n}.zip").model_dump(exclude={"made"}) for n in (1, 2))
    assert first == second


def test_what_cannot_be_packed_is_refused_before_a_file_is_written(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "kit.zip").write_text("mine")
    with pytest.raises(UsageError, match="exists; name another file"):
        fetch_kit([recipe], tmp_path / "kit.zip")
    (tmp_path / "source" / "net" / "loop").symlink_to(tmp_path)
    with pytest.raises(DataError, match="loop is a link to a folder"):
        fetch_kit([recipe], tmp_path / "other.zip")
    (tmp_path / "source" / "net" / "loop").unlink()
    (tmp_path / "source" / "net" / "a:b").touch()
    with pytest.raises(DataError, match="'weights/0/net/a:b' cannot stand in a kit"):
        fetch_kit([recipe], tmp_path / "other.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kit.zip", "source"]


# what is refused, with nothing moved


def _plain(name: str, home: str = "files") -> Callable[[Path], Path]:
    return lambda path: write_kit(path, manifest(entry(home, name)))


def _with(members: dict[str, bytes], *, compressed: bool = False, **changes: Any) -> Callable[[Path], Path]:
    return lambda path: write_kit(path, manifest(entry("files", "a.bin", **changes)), members, compressed=compressed)


def _link(path: Path) -> Path:
    target = b"/etc/passwd"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest(entry("files", "a.bin", target))))
        info = zipfile.ZipInfo("files/a.bin")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, target)
    return path


def _twice(path: Path) -> Path:
    write_kit(path, manifest(entry("files", "a.bin")))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("files/a.bin", WEIGHTS)
    return path


def _bomb(path: Path) -> Path:
    content = bytes(20_000_000)
    return write_kit(path, manifest(entry("files", "a.bin", content)), {"files/a.bin": content}, compressed=True)


def _lying(path: Path) -> Path:
    """Says in the zip's own headers, and in the list, that a bomb's member unfolds to 800 bytes."""
    kit = write_kit(path, manifest(entry("files", "a.bin")), {"files/a.bin": bytes(100_000)}, compressed=True)
    content = kit.read_bytes().replace((100_000).to_bytes(4, "little"), len(WEIGHTS).to_bytes(4, "little"))
    kit.write_bytes(content)
    return kit


def _overlapping(path: Path) -> Path:
    """Forty names for the same bytes: Fifield 2019, "A better zip bomb"."""
    names = [f"n{number:02}.bin" for number in range(40)]
    content = os.urandom(5000)
    told = manifest(*(entry("files", name, content) for name in names))
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("manifest.json", json.dumps(told))
        archive.writestr(f"files/{names[0]}", content)
        first = archive.getinfo(f"files/{names[0]}")
        for name in names[1:]:
            again = zipfile.ZipInfo(f"files/{name}")
            again.header_offset, again.CRC = first.header_offset, first.CRC
            again.compress_size = again.file_size = len(content)
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
        archive._didModify = True
    path.write_bytes(held.getvalue())
    return path


def _flipped(path: Path) -> Path:
    content = bytearray(write_kit(path, manifest(entry("files", "a.bin"))).read_bytes())
    content[content.index(WEIGHTS) + 50] ^= 1
    path.write_bytes(content)
    return path


def _cut(path: Path) -> Path:
    path.write_bytes(write_kit(path, manifest(entry("files", "a.bin"))).read_bytes()[:-30])
    return path


def _second_is_damaged(path: Path) -> Path:
    told = manifest(entry("torch", "good.pth"), entry("files", "a.bin"))
    return write_kit(path, told, {"torch/good.pth": WEIGHTS, "files/a.bin": WEIGHTS[:-1] + b"x"})


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "an absolute name": (_plain("/etc/cron.d/x"), "may not stand in a kit"),
    "a name that climbs": (_plain("../../x"), "may not stand in a kit"),
    "a name that climbs later": (_plain("a/../../x"), "may not stand in a kit"),
    "a name with a backslash": (_plain("..\\x"), "may not stand in a kit"),
    "a name of a drive": (_plain("C:/x"), "may not stand in a kit"),
    "a name with a line end": (_plain("a\nb"), "may not stand in a kit"),
    "an empty part": (_plain("a//b"), "may not stand in a kit"),
    "a home that is none": (_plain("x", home="etc"), "may not stand in a kit"),
    "a folder in torch's cache": (_plain("a/b.pth", home="torch"), "may not stand in a kit"),
    "a token of the hub": (_plain("token", home="hub"), "may not stand in a kit"),
    "a blob of the hub": (_plain(f"models--a--b/blobs/{'0' * 64}", home="hub"), "may not stand in a kit"),
    "a snapshot of a branch": (_plain("models--a--b/snapshots/main/x", home="hub"), "may not stand in a kit"),
    "a link": (_link, "is no plain file but a link"),
    "a file twice": (_twice, "does not hold exactly the files"),
    "two names that a Mac takes for one": (
        lambda path: write_kit(path, manifest(entry("files", "a.bin"), entry("files", "A.bin"))),
        "lists a file twice",
    ),
    "a file that is not listed": (
        _with({"files/a.bin": WEIGHTS, "files/b.bin": WEIGHTS}),
        "does not hold exactly the files",
    ),
    "a listed file that is not in it": (_with({}), "does not hold exactly the files"),
    "more bytes than listed": (_with({"files/a.bin": WEIGHTS + b"more"}), "bytes, not the 800 listed"),
    "a bomb": (_bomb, "more than 100 times its size"),
    "a bomb that lies of its size": (_lying, "damaged|bytes, not the 800 listed"),
    "files one over the other": (_overlapping, "lie one over the other|damaged"),
    "another content": (_with({"files/a.bin": b"x" * len(WEIGHTS)}), "its sha256 is not the listed one"),
    "a flipped bit": (_flipped, "damaged"),
    "a kit that is cut off": (_cut, "is damaged, or no kit"),
    "no zip file": (lambda path: path.write_text("hello") and path, "is damaged, or no kit"),
    "a zip file without a list": (lambda path: _no_list(path, "a.bin"), "holds no manifest.json"),
    "a list with another key": (lambda path: write_kit(path, manifest(run="rm -rf")), "damaged at run"),
    "a list of the wrong types": (_with({"files/a.bin": WEIGHTS}, bytes="800"), "damaged at files.0.bytes"),
    "a hash that is none": (_with({"files/a.bin": WEIGHTS}, sha256="x"), "damaged at files.0.sha256"),
    "a list that is no JSON": (lambda path: _no_list(path, "manifest.json", b"["), "is damaged"),
    "a list that is nested": (lambda path: _no_list(path, "manifest.json", b"[" * 100_000), "is damaged"),
    "a recipe that is not in it": (
        lambda path: write_kit(path, manifest(recipes=["x.yaml"])),
        "names recipes that it does not",
    ),
    "a hash of the hub that is another": (
        lambda path: write_kit(path, manifest(entry("hub", f"{SNAPSHOT}/x", blob="0" * 64))),
        "is not what the hub published",
    ),
    "a hash of the hub for torch": (
        lambda path: write_kit(path, manifest(entry("torch", "x.pth", blob="0" * 64))),
        "where it is none of its files",
    ),
    "the second of two is damaged": (_second_is_damaged, "its sha256 is not the listed one"),
}


def _no_list(path: Path, name: str, content: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_a_damaged_or_hostile_kit_is_refused_and_nothing_is_moved(name: str, tmp_path: Path, homes: Path) -> None:
    make, says = REFUSED[name]
    kit = make(tmp_path / "kit.zip")
    with pytest.raises(DataError, match=says):
        import_kit(kit, tmp_path / "into")
    assert [path for path in files(tmp_path) if path != kit] == []


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="reads kits of format 1, not 2"):
        import_kit(write_kit(tmp_path / "kit.zip", manifest(format=2)), tmp_path / "into")


def test_a_kit_that_is_not_the_one_that_was_sent_is_refused(tmp_path: Path, homes: Path) -> None:
    kit = write_snapshot(tmp_path / "kit.zip")
    with pytest.raises(DataError, match="it is not the kit that was sent"):
        import_kit(kit, tmp_path / "into", digest="0" * 64)
    assert files(homes) == []
    assert import_kit(kit, tmp_path / "into", digest=hashlib.sha256(kit.read_bytes()).hexdigest()).new == 3


def test_another_file_in_the_place_of_one_is_kept_and_nothing_is_moved(tmp_path: Path, homes: Path) -> None:
    mine = homes / "hub" / SNAPSHOT / "config.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(DataError, match=r"config.json is there with another content than the kit's; nothing was imported"):
        import_kit(write_snapshot(tmp_path / "kit.zip"), tmp_path / "into")
    assert files(homes) == [mine]


# what interrupts


@pytest.mark.parametrize("site", ["kit.unpack:2:full", "kit.move:1:full", "kit.move:2:full", "kit.move:3:raise"])
def test_an_import_that_fails_leaves_nothing(site: str, tmp_path: Path, homes: Path) -> None:
    kit = write_snapshot(tmp_path / "kit.zip")
    faults.arm(site)
    with pytest.raises((HeadstartError, OSError, faults.Fault)):
        import_kit(kit, tmp_path / "into")
    assert files(homes) == []
    faults.arm("")
    assert import_kit(kit, tmp_path / "into").new == 3


@pytest.mark.parametrize("site", ["kit.unpack:2", "kit.move:2", "kit.move:3"])
def test_a_killed_import_leaves_no_half_of_a_snapshot_and_the_next_one_completes_it(site: str, tmp_path: Path) -> None:
    kit = write_snapshot(tmp_path / "kit.zip")
    hub = tmp_path / "hf" / "hub"
    environment = {**os.environ, "HF_HUB_CACHE": str(hub), "HEADSTART_FAULT": site}
    command = [sys.executable, "-m", "headstart", "cache", "import", str(kit), "--into", str(tmp_path / "into")]
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert killed.returncode == -9, killed.stderr
    found = {path.name for path in files(hub / SNAPSHOT)}
    assert found in (set(), {"config.json", "model.safetensors"})
    done = subprocess.run(command, env={**environment, "HEADSTART_FAULT": ""}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (hub / SNAPSHOT / "model.safetensors").read_bytes() == WEIGHTS
    assert list(hub.glob(".headstart-kit-*")) == [], "what the killed one left is gone"
