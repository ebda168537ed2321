"""Privacy: no name of a patient leaves in outputs, stores or logs; pseudonyms are keyed; what is found is told."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dicom_made import made, write
from pyarrow import parquet

from headstart.errors import DataError, UsageError
from headstart_healthcare.data.dicom import Dicom
from headstart_healthcare.privacy.log_mask import Mask
from headstart_healthcare.privacy.pseudonyms import VARIABLE, Pseudonyms, pseudonyms
from headstart_healthcare.privacy.tree_scan import scan

SECRETS = ("DOE^JANE", "MRN12345", "DOE", "JANE")


def dicom_folder(root: Path, patients: int = 30) -> Path:
    """CLASS/DOE^JANE_MRN12345xx.dcm, a bright disc in the sick; names in tags and in file names."""
    y, x = np.mgrid[:40, :40]
    for number in range(patients):
        rng = np.random.default_rng(number)
        pixels = rng.integers(200, 900, (40, 40))
        if number % 2:
            pixels = np.where((y - 20) ** 2 + (x - rng.integers(14, 26)) ** 2 < 60, 3500, pixels)
        label = "sick" if number % 2 else "well"
        mrn = f"MRN12345{number:02d}"
        data = made(
            pixels.astype(np.uint16), PatientName="DOE^JANE", PatientID=mrn, PatientSex="F" if number % 3 else "M",
            PatientAge="063Y", InstitutionName="St Elsewhere", AccessionNumber="ACC777", StudyDescription="DOE JANE chest",
        )  # fmt: skip
        write(root / label / f"DOE^JANE_{mrn}.dcm", data)
    return root


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run by its command, its stores on disk; everything that it wrote, and what it printed."""
    root = tmp_path_factory.mktemp("privacy")
    (root / "data").mkdir()
    recipe = {
        "name": "phi",
        "data": {
            "use": "healthcare/dicom", "path": str(dicom_folder(root / "data")), "group": "PatientID", "positive": "sick",
            "tags": ["PatientSex", "PatientAge", "InstitutionName"],
        },
        "backbone": "vision/efficientnet-lite0",
        "strategy": {"use": "probe", "epochs": 2},
        "train": {"store": "disk"},
    }  # fmt: skip
    broken = root / "data" / "well" / "DOE^JANE_MRN12345_broken.dcm"
    broken.write_bytes((root / "data" / "well" / "DOE^JANE_MRN1234500.dcm").read_bytes()[:1200])
    recipe["data"]["max_bad"] = 0.1  # type: ignore[index]  # a dict within
    (root / "phi.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    environment = {**os.environ, "HEADSTART_CACHE": str(root / "out" / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-X", "dev", "-m", "headstart", "run", str(root / "phi.yaml"), "--out", str(root / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    return root / "out", done.stdout + done.stderr


def everything(folder: Path) -> dict[str, bytes]:
    """Relative path -> content; parquet as its values."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            is_table = path.suffix == ".parquet"
            content = str(parquet.read_table(path).to_pylist()).encode() if is_table else path.read_bytes()
            found[path.relative_to(folder).as_posix()] = content
    return found


def test_no_name_stands_in_outputs_stores_or_logs(finished):
    folder, printed = finished
    files = everything(folder)
    assert any(name.startswith("cache/") and name.endswith(".safetensors") for name in files), "stores were written"
    for secret in (*SECRETS[:2], "ACC777", "St Elsewhere"):
        assert [name for name, content in files.items() if secret.encode() in content or secret in name] == []
        assert secret not in printed


def test_a_broken_file_is_told_by_its_pseudonym_and_reason(finished):
    folder, printed = finished
    facts = json.loads(next(folder.rglob("data.json")).read_text())["facts"]
    assert list(facts["quarantined"].values()) == ["truncated"]
    assert all(name.startswith("scan-") for name in facts["quarantined"])
    assert facts["flow"]["excluded"] == {"truncated": 1} and facts["flow"]["patients"] == 30
    assert "truncated" in printed


def test_stores_and_the_runs_folder_are_closed_to_others(finished):
    folder, _ = finished
    run = next(folder.glob("*/report.html")).resolve().parent
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    shards = list((folder / "cache").rglob("*.safetensors"))
    above = [[one for one in shard.parents if one.is_relative_to(folder / "cache")] for shard in shards]
    assert shards and all(any(stat.S_IMODE(one.stat().st_mode) == 0o700 for one in parents) for parents in above)
    searched = json.loads((run / "privacy.json").read_text())
    assert "predictions.parquet" in searched["searched"] and searched["found in"] == []


def test_a_name_in_the_tree_is_found_in_text_parquet_and_file_names(tmp_path):
    import pyarrow

    (tmp_path / "a.txt").write_text("of MRN12345")
    parquet.write_table(pyarrow.table({"id": ["MRN12345"]}), tmp_path / "b.parquet")
    (tmp_path / "MRN12345.png").write_bytes(b"")
    (tmp_path / "clean.txt").write_text("nothing")
    assert scan(tmp_path, ["MRN12345"])["found in"] == ["MRN12345.png", "a.txt", "b.parquet"]


def test_thousands_of_names_are_found_whole_also_across_pieces_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr("headstart_healthcare.privacy.tree_scan._CHUNK", 64)
    names = [f"person{number}_virus.jpeg" for number in range(5000)] + ["1234", "12345678"]
    (tmp_path / "across.bin").write_bytes(b"x" * 55 + b" person4321_virus.jpeg " + b"x" * 90)
    (tmp_path / "part.txt").write_text("person43210_virus.jpeg aperson1_virus.jpeg 1234 12345678")
    (tmp_path / "model.bin").write_bytes(np.random.default_rng(0).bytes(2_000_000))
    found = scan(tmp_path, names)
    assert found["found in"] == ["across.bin"]
    assert (found["names"], found["too short"]) == (5000, 2), "bare numbers would be found in every table"


def test_logs_are_masked_tracebacks_too():
    class Known:
        key, patient, input = "ward/scan_of_jane.dcm", "MRN12345", "scan-1"

    mask = Mask()
    mask.learn(Pseudonyms(b"k" * 32), [Known()])
    try:
        raise ValueError("cannot read /home/me/ward/scan_of_jane.dcm of MRN12345")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "DOE^JANE: %s", ("MRN12345",), sys.exc_info())
    assert mask.filter(record)
    text = logging.Formatter().format(record)
    assert not [secret for secret in ("DOE", "MRN12345", "scan_of_jane", "/home/me") if secret in text]
    assert "patient-" in text and "[name]" in text


def test_pseudonyms_hang_on_the_key_and_are_the_same_from_run_to_run(tmp_path, monkeypatch):
    one, two = Pseudonyms(b"1" * 32), Pseudonyms(b"2" * 32)
    assert one.of("patient", "MRN12345") == one.of("patient", "MRN12345") != two.of("patient", "MRN12345")
    assert one.of("patient", "MRN12345") != one.of("scan", "MRN12345")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "project.key"))
    first = pseudonyms().of("patient", "a")
    assert stat.S_IMODE((tmp_path / "project.key").stat().st_mode) == 0o600
    assert pseudonyms().of("patient", "a") == first


def test_a_key_that_others_may_read_is_refused(tmp_path, monkeypatch):
    key = tmp_path / "open.key"
    key.write_text("00" * 32)
    key.chmod(0o644)
    monkeypatch.setenv(VARIABLE, str(key))
    with pytest.raises(DataError, match="chmod 600"):
        pseudonyms()


def test_only_tags_of_the_allow_list_leave_a_file(tmp_path):
    with pytest.raises(UsageError, match="'PatientName' may not leave a file"):
        Dicom(path=str(tmp_path), group="PatientID", tags=["PatientName"])
    data = Dicom(path=str(dicom_folder(tmp_path, 2)), group="PatientID", tags=["PatientSex", "PatientAge", "InstitutionName"])
    subgroups = data.examples()[0].meta["subgroups"]
    assert subgroups["PatientSex"] in ("F", "M") and subgroups["age"] == "60-79"
    assert subgroups["site"].startswith("site-") and "Elsewhere" not in str(subgroups)


def test_who_holds_data_and_key_can_find_the_file_behind_a_pseudonym(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from headstart_healthcare.privacy.reveal import reveal

    (tmp_path / "data").mkdir()
    options = f"use: healthcare/dicom\n  path: {dicom_folder(tmp_path / 'data', 4)}\n  group: PatientID"
    (tmp_path / "r.yaml").write_text(f"data:\n  {options}\nbackbone: vision/efficientnet-lite0\n", encoding="utf-8")
    names = pseudonyms()
    scan_name = names.of("scan", "sick/DOE^JANE_MRN1234501.dcm")
    done = CliRunner().invoke(reveal, [str(tmp_path / "r.yaml"), scan_name, names.of("patient", "MRN1234500")])
    assert done.output.splitlines() == [
        f"{scan_name}\tsick/DOE^JANE_MRN1234501.dcm",
        f"{names.of('patient', 'MRN1234500')}\tMRN1234500",
    ]
    monkeypatch.setenv(VARIABLE, str(tmp_path / "other.key"))
    assert isinstance(CliRunner().invoke(reveal, [str(tmp_path / "r.yaml"), scan_name]).exception, DataError)


def test_a_run_whose_output_names_somebody_is_not_given_out_and_what_was_set_aside_stands_in_a_table(tmp_path):
    """The class is called as a patient is: that name gets into metrics and report whatever anybody does."""
    from PIL import Image

    from headstart.recipe import Part, Recipe

    rng = np.random.default_rng(0)
    lines = ["path,label,patient"]
    for number in range(40):
        Image.fromarray(rng.integers(0, 200, (32, 32), dtype=np.uint8)).save(tmp_path / f"picture-of-{number}.png")
        lines.append(
            f"picture-of-{number}.png,{('jane-doe', 'well')[number % 2]},{'jane-doe' if number == 0 else f'p{number}'}"
        )
    (tmp_path / "picture-of-7.png").write_bytes(b"")
    (tmp_path / "cases.csv").write_text("\n".join(lines), encoding="utf-8")
    data = Part("healthcare/images", {"path": str(tmp_path / "cases.csv"), "group": "patient", "max_bad": 0.1})
    recipe = Recipe(
        data, Part("vision/efficientnet-lite0", {"size": 32}), strategy=Part("probe", {"epochs": 1}), baselines="none"
    )
    with pytest.raises(DataError, match=r"names of patients or files stand in .*metrics\.json.*do not pass this folder on"):
        recipe.run(tmp_path / "runs")
    (folder,) = (tmp_path / "runs").iterdir()
    assert not (folder / "report.html").exists() and not (folder / "figures").exists()
    assert "metrics.json" in json.loads((folder / "privacy.json").read_text())["found in"]
    rows = (folder / "quarantine.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 2 and rows[1].startswith("scan-") and ",empty," in rows[1]
    assert "picture-of" not in rows[1]


def test_check_writes_what_it_sets_aside_where_it_is_asked_to(tmp_path):
    from click.testing import CliRunner
    from PIL import Image

    from headstart.cli.main import cli

    for number in range(12):
        place = tmp_path / "data" / ("sick", "well")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 200, (32, 32), dtype=np.uint8)).save(place / f"{number}.png")
    (tmp_path / "data/sick/0.png").write_bytes(b"no picture")
    options = f"use: healthcare/images\n  path: {tmp_path / 'data'}\n  group: none\n  max_bad: 0.5"
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"data:\n  {options}\nbackbone: {{use: vision/efficientnet-lite0, size: 32}}\n", encoding="utf-8")
    done = CliRunner().invoke(cli, ["check", str(recipe), "--quarantine", str(tmp_path / "aside.csv")])
    assert done.exit_code == 0, done.output
    rows = (tmp_path / "aside.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "file,reason" and len(rows) == 2
    assert rows[1].startswith("scan-") and rows[1].endswith(("not-image", "broken"))
