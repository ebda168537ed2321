"""Keeping the trail: what a clinical run did and answered, who let it, and the hashes of what it wrote; no name of a person
or file.
"""

from __future__ import annotations

import getpass
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headstart.errors import DataError, HeadstartError
from headstart.files import MANIFEST, file_hash, read_json
from headstart_healthcare.privacy.pseudonyms import pseudonyms
from headstart_healthcare.trail.chain import FILE, HASH, append, read

EVIDENCE = (
    "recipe.lock.yaml", "env.json", "data.json", "split.json", f"model/{MANIFEST}", "predictions.parquet", "metrics.json",
    "quarantine.csv", "datasheet.md",
)  # fmt: skip
"""Files that nothing writes again once a run is over; `model/manifest.json` holds the hashes of the model's own."""

SETTLED = "model/evaluations.json"

log = logging.getLogger(__name__)


class Trail:
    """Tracker: writes a line for each thing of a clinical run that decides what its model is and says."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._waiting: list[dict[str, Any]] = []  # until the data have said that they are clinical

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Hear one event."""
        name = event["event"]
        if name == "predicted":
            keep_answers(event)
            return
        if name in ("start", "end"):
            self._folder = Path(event["folder"])
        if name == "start":
            self._waiting = []
        if name in _TOLD:
            self._waiting.append({"event": name, "time": event["time"], **_TOLD[name](event)})
        if name not in _TOLD or self._folder is None:  # a run that goes on tells its folder at the end only
            return
        if (self._folder / FILE).exists() or _is_clinical(event, self._folder):
            append(self._folder / FILE, self._waiting, seal=seal_of if name == "end" else None)
            self._waiting = []


def keep_answers(event: Mapping[str, Any]) -> None:
    """A line for the call and one for each answer, by the example's pseudonym: the model's hash, what it said, and why not.

    Where they cannot be written the answers stand, and the log says so.
    """
    folder, time = Path(event["folder"]), event["time"]
    if not (folder / FILE).exists():
        return
    model = file_hash(folder / "model" / MANIFEST)
    answers = [{"event": "answer", "time": time, "model": model, **_answer(one)} for one in event["answers"]]
    beside = {"together with": event["together_with"]} if event.get("together_with") else {}
    call = {"event": "predict", "time": time, "who": _who(), "model": model, "answers": len(answers), **beside}
    try:
        append(folder / FILE, [call, *answers], seal=seal_of)
    except (OSError, DataError) as error:
        what = error.strerror if isinstance(error, OSError) else error
        log.error("%d answers could not be written into the audit trail of %s: %s", len(answers), folder.name, what)


def _answer(one: Mapping[str, Any]) -> dict[str, Any]:
    shares = {label: round(value, 4) for label, value in (one["probabilities"] or {}).items()}
    reasons = list(one["abstain"] or ())
    return {"id": one["id"], "answer": one["answer"], "probabilities": shares, "abstains": bool(reasons), "reasons": reasons}


def seal_of(last: str) -> str:
    """What only a holder of the project's key can make of the last hash: a trail written anew does not have it."""
    return pseudonyms().of("seal", last)


def faults_of(folder: Path) -> list[str]:
    """What does not hold in the trail of a run and the files that it names, whole sentences; none = it all does.

    Raises:
        DataError: There is no trail, or it is none.
    """
    from headstart_healthcare.trail.chain import breaks

    entries = read(folder / FILE)
    ends = [entry for entry in entries if entry["event"] == "end"]
    found = breaks(entries)
    if not ends or entries[-1]["event"] != "seal":
        found.append("the trail has no end: the run was stopped, or lines were cut off.")
    seals = [(at, entry) for at, entry in enumerate(entries) if entry["event"] == "seal"]
    if any(entry["seal"] != seal_of(str(entries[at - 1][HASH])) for at, entry in seals):
        found.append("the seal was not made with this project's key: the trail was written anew, or the key is another one.")
    for name, expected in (ends[-1]["files"] if ends else {}).items():
        path = folder / name
        if not path.exists() or file_hash(path) != expected:
            found.append(f"{name} is {'missing' if not path.exists() else 'not what it was'} when the run ended.")
    return [*found, *_model_faults(folder)]


def _model_faults(folder: Path) -> list[str]:
    manifest = folder / "model" / MANIFEST
    hashes: Mapping[str, str] = read_json(manifest) if manifest.exists() else {}
    files = {name: manifest.parent / name for name in hashes}
    changed = [name for name, path in files.items() if not path.exists() or file_hash(path) != hashes[name]]
    return [f"model/{name} is missing or not what it was when the model was saved." for name in changed]


def _is_clinical(event: Mapping[str, Any], folder: Path) -> bool:
    if event["event"] == "data":
        return bool(event.get("research_only"))
    path = folder / "data.json"
    if event["event"] != "end" or not path.exists():
        return False
    try:
        return bool((read_json(path).get("facts") or {}).get("research_only"))
    except (HeadstartError, AttributeError):
        log.warning("%s is damaged: whether this is a clinical run cannot be told, and it gets no audit trail", path)
        return False


def _who() -> str:
    return pseudonyms().of("user", getpass.getuser())


def _start(event: Mapping[str, Any]) -> dict[str, Any]:
    return {"run": Path(event["folder"]).name, "who": _who(), "backbone": event["backbone"], "strategy": event["strategy"]}


def _data(event: Mapping[str, Any]) -> dict[str, Any]:
    return {"flow": event.get("flow"), "set aside": len(event.get("quarantined") or ())}


def _some(*names: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    return lambda event: {name: event.get(name) for name in names}


def _end(event: Mapping[str, Any]) -> dict[str, Any]:
    folder = Path(event["folder"])
    files = {name: file_hash(folder / name) for name in EVIDENCE if (folder / name).exists()}
    return {"files": files, "thresholds": _thresholds(folder)}


def _thresholds(folder: Path) -> dict[str, float]:
    """Question -> threshold that decides, settled on validation."""
    settled = read_json(folder / SETTLED) if (folder / SETTLED).exists() else {}
    questions = [questions for one in settled.values() for questions in (one.get("questions") or {}).items()]
    return {label: known["threshold"] for label, known in questions}


_TOLD: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "start": _start,
    "data": _data,
    "split": _some("how", "sizes"),
    "audit": _some("found", "moved", "dropped"),
    "resumed": _some("phase", "epoch", "step"),
    "warning": _some("message"),
    "result": _some("selected_by"),
    "stopped": _some("error"),
    "end": _end,
}
"""Event -> what of it is kept."""
