"""The data part `nlp/squad`: questions about texts, each answered by a span of its text or by none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from headstart.data import Data
from headstart.errors import DataError
from headstart.example import Example, Target
from headstart.place import Place, locate
from headstart.quarantine import check_budget, hold_to_budget, listed
from headstart_nlp.questions.answers import Gold, Verdict, verified
from headstart_nlp.questions.plain import NONE, PLAIN
from headstart_nlp.questions.records import Record, read_records


@dataclass
class Checked:
    """Questions whose answers stand where they are said to.

    Attributes:
        repaired: Answers that stood elsewhere, but only once.
        dropped: Single answers that were left out beside others that are sound.
        bad: Id -> why the question was left out.
    """

    examples: list[Example] = field(default_factory=list)
    repaired: int = 0
    dropped: int = 0
    bad: dict[str, str] = field(default_factory=dict)


class Squad(Data):
    """Questions with contexts and answers: SQuAD 1.1 and 2.0 (JSON), or csv, tsv, jsonl and parquet with a row each.

    A table has the columns question, context and answer; offset, id and group (or title) where they are known. An empty
    answer means that the context does not answer the question. Every answer is verified against its context: one that
    stands elsewhere is repaired where it stands there only once; a question without a sound answer is left out by name.

    Args:
        path: A file.
        test_path: A further file of the same form whose questions are the test.
        group: Questions of one "article" (its title; the context where there is none) or of one "context" never stand in
            two splits; "none" = they may.
        unanswerable: "drop" leaves questions without an answer out.
        max_bad: Largest share of questions that may be left out, in [0, 1].
    """

    modality = "text-pair"
    target_kinds = ("span",)
    evaluation = "nlp/squad"

    def __init__(
        self,
        *,
        path: Place,
        test_path: Place | None = None,
        group: Literal["article", "context", "none"] = "article",
        unanswerable: Literal["keep", "drop"] = "keep",
        max_bad: float = 0.05,
    ) -> None:
        self._path, self._test_path = path, test_path
        check_budget(max_bad, "questions")
        self._group, self._unanswerable, self._max_bad = group, unanswerable, max_bad

    @property
    def target(self) -> Target:
        """A span of the context."""
        return Target("span")

    def examples(self) -> Sequence[Example]:
        """Sound questions in the order of the files; `input` is (question, context), `target` a `Gold`."""
        return self._checked.examples

    def read(self, source: Any) -> tuple[str, str]:
        """A question with its context, as a pair or as a mapping with these two names.

        Raises:
            DataError: It is neither, or one of them is blank.
        """
        if isinstance(source, Mapping) and {"question", "context"} <= set(source):
            question, context = source["question"], source["context"]
        elif isinstance(source, (tuple, list)) and len(source) == 2:
            question, context = source
        else:
            raise DataError(f"an input is a pair (question, context), not {repr(source)[:60]}")
        if not str(question).strip() or not str(context).strip():
            raise DataError("question and context are both needed; one of them is blank")
        return str(question).strip(), str(context)

    def open(self, path: Path) -> Sequence[Example]:
        """Questions of another file; targets where it holds answers, else None."""
        return self._verified(read_records(path), None).examples

    def excerpt(self, input: Any) -> str:
        """The question."""
        return str(input[0])

    def plain(self) -> Mapping[str, Callable[[Example], str]]:
        """A random span, the sentence that shares most words with the question, and no answer where some have none."""
        has_none = any(example.target is not None and not example.target for example in self._checked.examples)
        return {name: answer for name, answer in PLAIN.items() if name != NONE or has_none}

    def facts(self) -> Mapping[str, Any]:
        """Questions, articles, what was repaired and what was left out, with why."""
        found = self._checked
        none = sum(1 for example in found.examples if example.target is not None and not example.target)
        contexts = len({example.input[1] for example in found.examples})
        groups = len({example.group for example in found.examples if example.group is not None})
        size = f"{len(found.examples):,} questions about {contexts:,} texts"
        notes = [f"{size} in {groups:,} groups; {none:,} have no answer there."]
        warnings = [f"{found.repaired:,} answers stood elsewhere than was said and were repaired."] if found.repaired else []
        warnings += [f"{found.dropped:,} answers beside sound ones were left out."] if found.dropped else []
        warnings += [f"{len(found.bad):,} questions were left out: {listed(found.bad)}."] if found.bad else []
        counts = {"questions": len(found.examples), "no_answer": none, "contexts": contexts, "repaired": found.repaired}
        return {**counts, "dropped_answers": found.dropped, "quarantined": found.bad, "notes": notes, "warnings": warnings}

    @cached_property
    def _checked(self) -> Checked:
        places = [(self._path, "train" if self._test_path else None)]
        places += [(self._test_path, "test")] if self._test_path else []
        whole = Checked()
        for place, split in places:
            found = self._verified(read_records(locate(place)), split)
            whole.examples += found.examples
            whole.repaired, whole.dropped = whole.repaired + found.repaired, whole.dropped + found.dropped
            whole.bad |= found.bad
        twice = [id for id, count in Counter(example.id for example in whole.examples).items() if count > 1]
        if twice:
            raise DataError(f"{self._path}: {len(twice):,} ids stand there twice, the first is '{twice[0]}'; ids are unique")
        if not whole.examples:
            raise DataError(f"{self._path}: no usable question is left; {listed(whole.bad)}")
        return whole

    def _verified(self, records: Sequence[Record], split: str | None) -> Checked:
        found = Checked()
        for record in records:
            self._take(record, split, found)
        hold_to_budget(found.bad, len(records), self._max_bad, "questions", "are unsound")
        return found

    def _take(self, record: Record, split: str | None, found: Checked) -> None:
        if not record.question.strip() or not record.context.strip():
            found.bad[record.id] = f"{record.where}: question or context is blank"
            return
        verdicts = [verified(record.context, text, start) for text, start in record.answers or ()]
        sound = [verdict.answer for verdict in verdicts if verdict.answer is not None]
        if verdicts and not sound:
            found.bad[record.id] = f"{record.where}: {verdicts[0].reason}"
            return
        if record.answers == () and self._unanswerable == "drop":
            return
        found.repaired += _repaired(verdicts)
        found.dropped += len(verdicts) - len(sound)
        target = None if record.answers is None else Gold(dict.fromkeys(sound))
        meta = {} if split is None else {"split": split}
        input = (record.question.strip(), record.context)
        found.examples.append(Example(record.id, input, target, self._group_of(record), meta))

    def _group_of(self, record: Record) -> str | None:
        if self._group == "none":
            return None
        if record.group and self._group == "article":
            return record.group
        return f"context {sha256(record.context.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _repaired(verdicts: Sequence[Verdict]) -> int:
    return sum(verdict.repaired for verdict in verdicts)
