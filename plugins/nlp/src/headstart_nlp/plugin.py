"""What headstart-nlp offers; importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headstart.components import Component
from headstart.hookspecs import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def headstart_backbones() -> Iterator[Component]:
    """Text encoders."""
    yield Component(
        "nlp/encoder",
        "headstart_nlp.encoder:Encoder",
        "any transformers encoder by folder or hub id@revision; default MiniLM-L6 (22.7 M), offline; Wang et al. 2020",
        licence="Apache-2.0",
        megabytes=90.9,
    )
    yield Component(
        "nlp/pair-encoder",
        "headstart_nlp.pair_encoder:PairEncoder",
        "two texts read as one, long ones in windows; default MiniLM-L6 (22.7 M), offline; Wang et al. 2020",
        licence="Apache-2.0",
        megabytes=90.9,
    )
    yield Component(
        "nlp/word-encoder",
        "headstart_nlp.word_encoder:WordEncoder",
        "a vector for each word of a list; default MiniLM-L6 (22.7 M), offline; Wang et al. 2020",
        licence="Apache-2.0",
        megabytes=90.9,
    )
    yield Component(
        "nlp/masked-encoder",
        "headstart_nlp.masking.encoder:MaskedEncoder",
        "nlp/encoder that hides tokens of what it reads, for nlp/masked; default MiniLM-L6 (22.7 M), offline",
        licence="Apache-2.0",
        megabytes=90.9,
    )


@hookimpl
def headstart_data() -> Iterator[Component]:
    """Readers of texts with targets beyond a label."""
    yield Component(
        "nlp/squad", "headstart_nlp.questions.squad:Squad", "questions with contexts and answers: SQuAD 1.1, 2.0, csv, jsonl"
    )
    yield Component("nlp/pairs", "headstart_nlp.pairs:Pairs", "two texts and what they are to each other: csv, jsonl ...")
    yield Component("nlp/unlabelled", "headstart_nlp.masking.texts:Unlabelled", "texts without labels: lines, or a column")
    yield Component("nlp/conll", "headstart_nlp.tagging.conll:Conll", "words with tags (BIO, BIOES): CoNLL columns, jsonl")


@hookimpl
def headstart_heads() -> Iterator[Component]:
    """Tasks on tokens."""
    yield Component(
        "nlp/span", "headstart_nlp.questions.span:Span", "an answer as a span of the text, or none; Devlin et al. 2019"
    )
    yield Component("nlp/tags", "headstart_nlp.tagging.head:Tags", "a tag for each word: names of people, places, dates ...")
    yield Component(
        "nlp/masked",
        "headstart_nlp.masking.head:Masked",
        "guesses hidden tokens, to learn a domain before a task; Gururangan et al. 2020",
    )
    yield Component("nlp/named", "headstart_nlp.named:Named", "linear, beginning with the vectors of the labels' names")


@hookimpl
def headstart_evaluations() -> Iterator[Component]:
    """Measures that the data above prescribe."""
    yield Component(
        "nlp/squad",
        "headstart_nlp.questions.evaluation:Squad",
        "official exact match and F1, threshold for no answer from validation, kinds of error, plain baselines",
    )


@hookimpl
def headstart_report() -> Iterator[Component]:
    """The sections about questions and answers, and about words."""
    yield Component("nlp/squad", "headstart_nlp.questions.report:figures", "Questions and their answers")
    yield Component("nlp/words", "headstart_nlp.attribution.report:figures", "What the answers hang on, word by word")


@hookimpl
def headstart_explainers() -> Iterator[Component]:
    """Words of texts."""
    home = "headstart_nlp.attribution.explaining:explain"
    yield Component("nlp/words", home, "words of texts by integrated gradients, signed")


@hookimpl
def headstart_cases() -> Iterator[Component]:
    """What the conformance kit runs these parts with."""
    yield Component("nlp/cases", "headstart_nlp.cases:cases", "the default weights, short texts")


@hookimpl
def headstart_commands() -> Iterator[click.Command]:
    """`headstart ask`."""
    from headstart_nlp.questions.command import ask

    yield ask
