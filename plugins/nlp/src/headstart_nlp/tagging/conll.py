"""The data part `nlp/conll`: words with a tag each, from CoNLL's columns or from JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from headstart.data import Data
from headstart.encoding import decode, read_bytes
from headstart.errors import DataError
from headstart.example import Example, Target
from headstart.place import Place, locate
from headstart_nlp.tagging.scheme import OUTSIDE, entities, is_ended, is_tag, repaired

JSON_LINES = (".jsonl", ".ndjson")
DOCUMENT = "-DOCSTART-"
WORDS, TAGS = ("words", "tokens"), ("tags", "ner_tags", "labels")
EXCERPT = 300


@dataclass(frozen=True)
class Sentence:
    """Words as they were given; `tags` None = not tagged, `document` = where it belongs, "" = nowhere."""

    where: str
    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    document: str


@dataclass
class Read:
    """Examples, and what was repaired on the way: tags, and the sentences that held them."""

    examples: list[Example] = field(default_factory=list)
    tags: int = 0
    sentences: int = 0


class Conll(Data):
    """Words with tags in the scheme BIO or BIOES (names of people and places ...): CoNLL columns, or JSON lines.

    Columns: a word on each line, its tag in another column, an empty line between sentences; "-DOCSTART-" begins a document,
    whose sentences never stand in two splits. JSON lines: {"words": [...], "tags": [...]}, also named tokens and ner_tags,
    with "document" where it is known. Broken sequences (an I where no entity has begun) are repaired and counted.

    Args:
        path: A file.
        test_path: A further file of the same form whose sentences are the test.
        word: Column of the words, from 0 on.
        tag: Column of the tags; -1 = the last.
    """

    modality = "words"
    target_kinds = ("tags",)

    def __init__(self, *, path: Place, test_path: Place | None = None, word: int = 0, tag: int = -1) -> None:
        self._path, self._test_path = path, test_path
        self._word, self._tag = word, tag

    @property
    def target(self) -> Target:
        """All tags that occur, O first."""
        seen = {tag for example in self._read.examples for tag in example.target or ()}
        return Target("tags", (OUTSIDE, *sorted(seen - {OUTSIDE})))

    def examples(self) -> Sequence[Example]:
        """Sentences in the order of the files; `input` and `target` are tuples of words and of tags."""
        return self._read.examples

    def read(self, source: Any) -> tuple[str, ...]:
        """A list of words, or a text that is cut at its blanks.

        Raises:
            DataError: It is neither, or has no words.
        """
        words = source.split() if isinstance(source, str) else source
        if not isinstance(words, (tuple, list)) or not words or not all(isinstance(word, str) and word for word in words):
            raise DataError(f"an input is a text or a list of words, not {repr(source)[:60]}")
        return tuple(words)

    def open(self, path: Path) -> Sequence[Example]:
        """Sentences of another file; of a .txt each line is one, its words between blanks."""
        if path.suffix.lower() == ".txt":
            lines = _text_of(path).splitlines()
            rows = [(number, line.split()) for number, line in enumerate(lines, start=1)]
            return [Example(f"{path.stem}:{number}", tuple(words)) for number, words in rows if words]
        return self._examples(path, None).examples

    def excerpt(self, input: Any) -> str:
        """The beginning of the sentence."""
        text = " ".join(input)
        return text if len(text) <= EXCERPT else f"{text[: EXCERPT - 1]}…"

    def facts(self) -> Mapping[str, Any]:
        """Sentences, words, entities by type, and what was repaired."""
        found = self._read
        kinds: dict[str, int] = {}
        for kind in (entity[0] for example in found.examples for entity in entities(example.target or ())):
            kinds[kind] = kinds.get(kind, 0) + 1
        words = sum(len(example.input) for example in found.examples)
        listed = ", ".join(f"{kind} {count:,}" for kind, count in sorted(kinds.items()))
        notes = [f"{len(found.examples):,} sentences of {words:,} words; entities: {listed or 'none'}."]
        repairs = f"{found.tags:,} tags in {found.sentences:,} sentences broke their scheme and were repaired."
        counts = {"sentences": len(found.examples), "words": words, "entities": kinds, "repaired": found.tags}
        return {**counts, "notes": notes, "warnings": [repairs] if found.tags else []}

    @cached_property
    def _read(self) -> Read:
        whole = self._examples(locate(self._path), "train" if self._test_path else None)
        if self._test_path:
            further = self._examples(locate(self._test_path), "test")
            whole.examples += further.examples
            whole.tags, whole.sentences = whole.tags + further.tags, whole.sentences + further.sentences
        return whole

    def _examples(self, path: Path, split: str | None) -> Read:
        is_named = path.suffix.lower() in JSON_LINES
        sentences = list(_from_json(path) if is_named else self._from_columns(path))
        if not sentences:
            raise DataError(f"{path}: holds no sentence")
        found, ended = Read(), is_ended(tag for sentence in sentences for tag in sentence.tags or ())
        stem = path.stem if split is None else f"{path.stem} {split}"
        for number, sentence in enumerate(sentences, start=1):
            target = None
            if sentence.tags is not None:
                sound, changed = _sound(sentence, ended=ended)
                found.tags, found.sentences = found.tags + changed, found.sentences + bool(changed)
                target = tuple(sound)
            # a document's own name says the same in every file; one that was counted is its file's
            group = (sentence.document if is_named else f"{stem} {sentence.document}") if sentence.document else None
            meta = {} if split is None else {"split": split}
            found.examples.append(Example(f"{stem}:{number}", sentence.words, target, group, meta))
        return found

    def _from_columns(self, path: Path) -> Iterator[Sentence]:
        document, rows, begin = 0, [], 0
        for number, line in enumerate([*_text_of(path).splitlines(), ""], start=1):
            fields = line.split("\t") if "\t" in line else line.split()
            if fields and line.strip():
                if fields[0].startswith(DOCUMENT):
                    document += 1
                    continue
                begin = begin or number
                rows.append(self._pair(fields, f"{path}, line {number}"))
            elif rows:
                words, tags = zip(*rows, strict=True)
                where = f"{path}, line {begin}"
                yield Sentence(where, words, None if None in tags else tags, f"document {document}" if document else "")
                rows, begin = [], 0

    def _pair(self, fields: Sequence[str], where: str) -> tuple[str, str | None]:
        if len(fields) == 1 and self._tag == -1:
            return fields[0], None
        try:
            return fields[self._word], fields[self._tag]
        except IndexError as error:
            raise DataError(f"{where}: has {len(fields)} columns; data.word and data.tag name others") from error


def _from_json(path: Path) -> Iterator[Sentence]:
    for number, line in enumerate(_text_of(path).splitlines(), start=1):
        where = f"{path}, line {number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}: is no JSON: {error}") from error
        words, tags = (next((row[name] for name in names if name in row), None) for names in (WORDS, TAGS))
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
            raise DataError(f'{where}: needs "words", a list of texts')
        if tags is not None and (not isinstance(tags, list) or len(tags) != len(words)):
            raise DataError(f"{where}: {len(words)} words need as many tags")
        yield Sentence(where, tuple(words), None if tags is None else tuple(map(str, tags)), str(row.get("document") or ""))


def _sound(sentence: Sentence, *, ended: bool) -> tuple[list[str], int]:
    tags = sentence.tags or ()
    odd = next((tag for tag in tags if not is_tag(tag)), None)
    if odd is not None:
        raise DataError(f"{sentence.where}: '{odd}' is no tag; known: O, and B-, I-, E- or S- before a type")
    return repaired(tags, ended=ended)


def _text_of(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    return decode(read_bytes(path), source=str(path))[0]
