"""Baselines: what plain methods reach on the same raw examples and splits, so that a score has something to beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.errors import UsageError
from headstart.example import Example, Target
from headstart.head import Prediction

STRENGTHS = (1.0, 10.0, 100.0)
"""Inverse regularisation C of the logistic regression, from which the validation part (else 3 folds of train) chooses."""
FOLDS = 3


def baseline_names(modality: str, target: Target) -> tuple[str, ...]:
    """Baselines that fit a task, the plainest first; none for kinds of target that have no plain method."""
    if target.kind not in {"class", "labels", "number"}:
        return ()
    plain, words = ("mean", "tfidf-ridge") if target.kind == "number" else ("majority", "tfidf-logistic")
    return (plain, words) if modality == "text" else (plain,)


def predict_baseline(  # noqa: PLR0917 - three parts of the data and what is asked of them, in the order of the run
    name: str, train: Sequence[Example], val: Sequence[Example], test: Sequence[Example], target: Target, seed: int
) -> list[Prediction]:
    """Learn one baseline on `train`, choose its strength on `val` where there is one, and predict `test`.

    Raises:
        UsageError: No baseline has this name.
    """
    if name not in {"majority", "mean", "tfidf-logistic", "tfidf-ridge"}:
        raise UsageError(f"no baseline named '{name}'; known: majority, mean, tfidf-logistic, tfidf-ridge")
    is_plain = name in {"majority", "mean"} or not _can_learn(train, target)
    return [_constant(train, target)] * len(test) if is_plain else _tfidf(train, val, test, target, seed)


def _constant(train: Sequence[Example], target: Target) -> Prediction:
    """The mean; the commonest label, with the shares of all as probabilities; the labels that at least half of all have."""
    if target.kind == "number":
        return Prediction(float(np.mean([example.target for example in train])))
    shares = _shares(train, target)
    if target.kind == "labels":
        return Prediction(tuple(label for label in target.labels if shares[label] >= 0.5), shares)
    return Prediction(max(target.labels, key=shares.__getitem__), shares)


def _shares(train: Sequence[Example], target: Target) -> dict[str, float]:
    """Share of the training examples that have each label."""
    sets = [set(example.target) if target.kind == "labels" else {example.target} for example in train]
    counts = Counter(label for labels in sets for label in labels)
    return {label: counts[label] / len(train) for label in target.labels}


def _learnable(train: Sequence[Example], target: Target) -> tuple[str, ...]:
    """Labels that some but not all training examples have, in their own order."""
    return tuple(label for label, share in _shares(train, target).items() if 0 < share < 1)


def _can_learn(train: Sequence[Example], target: Target) -> bool:
    """Whether there is a word to learn from and something to tell apart; if not, the plain answer is the best one."""
    has_words = any(any(letter.isalnum() for letter in text) for text in _texts(train))
    return has_words and (target.kind == "number" or bool(_learnable(train, target)))


def _tfidf(
    train: Sequence[Example], val: Sequence[Example], test: Sequence[Example], target: Target, seed: int
) -> list[Prediction]:
    strength = _choose(train, val, target, seed)
    fitted = _pipeline(target, strength, seed).fit(_texts(train), _truth(train, train, target))
    return _predict(fitted, train, test, target)


def _choose(train: Sequence[Example], val: Sequence[Example], target: Target, seed: int) -> float:
    """The strength with the best score on `val`, else in cross-validation on `train`; the weaker one where two are equal."""
    from sklearn.model_selection import KFold

    if val:
        pairs = [(list(train), list(val))]
    elif len(train) >= 2 * FOLDS:
        folds = KFold(FOLDS, shuffle=True, random_state=seed).split(train)
        pairs = [([train[i] for i in kept], [train[i] for i in held]) for kept, held in folds]
    else:
        return STRENGTHS[1]
    pairs = [(kept, held) for kept, held in pairs if _can_learn(kept, target)]
    scores = {strength: sum(_score(kept, held, target, strength, seed) for kept, held in pairs) for strength in STRENGTHS}
    return max(STRENGTHS, key=scores.__getitem__)


def _score(kept: Sequence[Example], held: Sequence[Example], target: Target, strength: float, seed: int) -> float:
    """Accuracy, or minus the squared error, of one strength on held-out examples; sets of labels count label by label."""
    truth = _truth(kept, held, target)
    guess = np.asarray(_pipeline(target, strength, seed).fit(_texts(kept), _truth(kept, kept, target)).predict(_texts(held)))
    return -float(np.mean((guess - truth) ** 2)) if target.kind == "number" else float(np.mean(guess == truth))


def _truth(train: Sequence[Example], part: Sequence[Example], target: Target) -> Any:
    """Targets of `part` as scikit-learn takes them: numbers [N], labels [N], or a 0/1 table [N, learnable labels]."""
    values = [example.target for example in part]
    if target.kind == "number":
        return np.asarray(values, dtype=float)
    if target.kind == "labels":
        columns = _columns(train, target)
        return np.asarray([[int(label in value) for label in columns] for value in values])
    return np.asarray(values)


def _columns(train: Sequence[Example], target: Target) -> tuple[str, ...]:
    """Columns of the 0/1 table; a single one stands there twice, since scikit-learn takes [N, 1] for one label each."""
    known = _learnable(train, target)
    return known if len(known) > 1 else known * 2


def _texts(part: Sequence[Example]) -> list[str]:
    return [str(example.input) for example in part]


def _pipeline(target: Target, strength: float, seed: int) -> Any:
    """Words and pairs of words, lower-cased, none left out: with few examples a rare word is often the one that tells."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\b\w+\b")  # noqa: S106 - a pattern
    if target.kind == "number":
        return make_pipeline(words, Ridge(alpha=1.0 / strength, random_state=seed))
    model: Any = LogisticRegression(C=strength, max_iter=2000, random_state=seed)
    return make_pipeline(words, OneVsRestClassifier(model) if target.kind == "labels" else model)


def _predict(fitted: Any, train: Sequence[Example], test: Sequence[Example], target: Target) -> list[Prediction]:
    """Predictions in the user's terms; labels that could not be learnt keep their share in training as probability."""
    if not test:
        return []
    if target.kind == "number":
        return [Prediction(float(value)) for value in fitted.predict(_texts(test))]
    columns = _columns(train, target) if target.kind == "labels" else tuple(str(label) for label in fitted.classes_)
    table = fitted.predict_proba(_texts(test))
    shares = _shares(train, target)
    return [_labelled({**shares, **dict(zip(columns, map(float, row), strict=True))}, target) for row in table]


def _labelled(probabilities: dict[str, float], target: Target) -> Prediction:
    if target.kind == "labels":
        return Prediction(tuple(label for label in target.labels if probabilities[label] >= 0.5), probabilities)
    return Prediction(max(target.labels, key=probabilities.__getitem__), probabilities)
