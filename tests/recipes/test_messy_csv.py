"""A table as offices send it goes from `init` to `predict`, without its recipe being touched."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

LABELS = ("Lob", "Beschwerde", "NA")
SENTENCES = {
    "Lob": (
        "Die {thing} war {very} großartig, wir kommen {when} gern wieder; danke schön an {who}.",
        "{who} hat uns {when} so freundlich geholfen, dass wir die {thing} allen empfehlen möchten.",
        "Un accueil {very} chaleureux, et {who} s'est occupé de nous avec élégance {when}.",
    ),
    "Beschwerde": (
        "Leider war die {thing} {very} enttäuschend; {who} ließ uns {when} eine Stunde warten, ohne Erklärung.",
        "Ich ärgere mich {very} über die {thing}: kaputt, schmutzig und {when} viel zu spät geliefert.",
        "Quelle déception, la réponse de {who} était {very} désagréable et {when} rien n'était prêt.",
    ),
    "NA": (
        "Bitte schicken Sie mir {when} die Öffnungszeiten und die Adresse für die {thing}, Grüße an {who}.",
        "Wie lautet die Telefonnummer von {who}? Ich frage {when} nur wegen der {thing}.",
        "Pourriez-vous m'envoyer {when} la facture de la {thing} à l'attention de {who} ?",
    ),
}
WORDS = {
    "thing": ("Führung", "Küche", "Lieferung", "Übernachtung", "Prüfung", "Brücke", "Ausstellung", "Müllabfuhr", "Fähre"),
    "very": ("wirklich", "ungewöhnlich", "überaus", "ziemlich", "vraiment", "très", "außerordentlich"),
    "who": ("Frau Müller", "Herr Jäger", "Madame Lefèvre", "das Büro", "Monsieur Hélot", "der Schaffner", "Frau Öztürk"),
    "when": ("gestern", "im März", "am Käseabend", "nächste Woche", "ce matin", "heute früh", "über Ostern", "à Noël"),
}


def texts(label: str, count: int, seed: int) -> list[str]:
    """Different sentences of one label."""
    draw, found = random.Random(f"{label}{seed}"), {}
    while len(found) < count:
        found[draw.choice(SENTENCES[label]).format(**{name: draw.choice(words) for name, words in WORDS.items()})] = None
    return list(found)


def write_messy(path: Path, *, count: int, seed: int, labelled: bool = True) -> int:
    """cp1252, separated by semicolons that also stand inside the texts, with empty texts and doubled rows; rows written."""
    rows = [(text, label) for label in LABELS for text in texts(label, count // 3, seed)]
    random.Random(seed).shuffle(rows)
    rows += rows[:6]  # copies
    for position in (3, 17, 40):
        rows.insert(position, ("", "Lob"))
    with path.open("w", encoding="cp1252", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Nr.", "Rückmeldung", "Art"] if labelled else ["Nr.", "Rückmeldung"])
        writer.writerows([number, *row[: 1 + labelled]] for number, row in enumerate(rows, start=1))
    return len(rows)


@pytest.fixture(scope="module")
def messy(demo_packages, headstart, tmp_path_factory):
    """The folder after `init`, `check` and `run`, and what each of them answered."""
    folder = tmp_path_factory.mktemp("messy")
    write_messy(folder / "Rückmeldungen 2026.csv", count=120, seed=1)
    init = headstart("init", "Rückmeldungen 2026.csv", cwd=folder)
    assert init.returncode == 0, init.stderr
    recipe = (folder / "recipe.yaml").read_text(encoding="utf-8")
    check = headstart("check", "recipe.yaml", cwd=folder)
    assert check.returncode == 0, check.stdout + check.stderr
    run = headstart("run", "recipe.yaml", "--set", "strategy={use: probe, epochs: 12}", cwd=folder)  # for speed only
    assert run.returncode == 0, run.stderr
    assert (folder / "recipe.yaml").read_text(encoding="utf-8") == recipe
    return folder, init, check, run


def test_init_says_what_it_saw(messy):
    _, init, _, _ = messy
    for said in (
        "cp1252",
        "semicolon",
        "'Rückmeldung'",
        "'Art'",
        "NA 4",
        "3 rows have an empty text",
        "6 examples are copies",
    ):
        assert said in init.stderr, said


def test_check_says_the_same_and_that_copies_are_settled(messy):
    _, _, check, _ = messy
    assert "cp1252" in check.stdout
    assert "NA" in check.stdout
    assert "error" not in check.stdout


def test_the_run_knows_na_as_a_class_and_keeps_copies_out_of_two_splits(messy):
    folder, _, _, _ = messy
    run = (folder / "runs" / "latest").resolve()
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics["target"]["labels"]) == set(LABELS)
    data = json.loads((run / "data.json").read_text(encoding="utf-8"))
    assert data["counts"]["train"]["NA"] > 20
    assert data["facts"]["dropped"] == {"empty text": 3}
    assert data["audit"]["policy"] != "error"
    assert metrics["test"]["accuracy"]["value"] > 0.6, "templates are easy: the labels were not shuffled on the way"


def test_predictions_of_a_new_file_name_the_class_na(messy, headstart):
    folder, _, _, _ = messy
    rows = write_messy(folder / "neu.csv", count=30, seed=2, labelled=False)
    done = headstart("predict", "runs/latest", "neu.csv", "-o", "labelled.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    with (folder / "labelled.csv").open(encoding="utf-8", newline="") as file:
        predicted = list(csv.DictReader(file))
    assert len(predicted) == rows - 3, "empty texts are left out"
    assert set(predicted[0]) >= {"id", "prediction", "p:NA", "p:Lob", "p:Beschwerde"}
    assert {row["prediction"] for row in predicted} == set(LABELS)
    assert "3 rows with an empty text" in done.stderr
