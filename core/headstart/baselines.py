"""Baselines: what plain methods reach on the same raw examples and splits, so that a score has something to beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headstart.errors import UsageError
from headstart.example import Example, Target
from headstart.head import Prediction
from headstart.histogram import histogram

STRENGTHS = (1.0, 10.0, 100.0)
"""Inverse regularisation C of the logistic regression, from which the validation part (else 3 folds of train) chooses."""
FOLDS = 3
FEATURES = {"text": "tfidf", "image": "histogram", "numbers": "numbers"}
"""Modality, or form of the data's own plain views -> what a plain method looks at."""
PLAIN = ("majority", "mean")
KNOWN = (*PLAIN, *(f"{features}-{learner}" for features in FEATURES.values() for learner in ("logistic", "ridge")))


def baseline_names(modality: str, target: Target) -> tuple[str, ...]:
    """Baselines that fit a task, the plainest first; none for kinds of target that have no plain method."""
    if target.kind not in {"class", "labels", "number"}:
        return ()
    plain, learner = ("mean", "ridge") if target.kind == "number" else ("majority", "logistic")
    features = FEATURES.get(modality)
    return (plain, f"{features}-{learner}") if features else (plain,)


def predict_baseline(  # noqa: PLR0917 - three parts of the data and what is asked of them, in the order of the run
    name: str, train: Sequence[Example], val: Sequence[Example], test: Sequence[Example], target: Target, seed: int
) -> list[Prediction]:
    """Learn one baseline on `train`, choose its strength on `val` where there is one, and predict `test`.

    Raises:
        UsageError: No baseline has this name.
    """
    if name not in KNOWN:
        raise UsageError(f"no baseline named '{name}'; known: {', '.join(KNOWN)}")
    if name in PLAIN or not _can_learn(train, target):
        return [_constant(train, target)] * len(test)
    if name.startswith("histogram"):
        train, val, test = (_with_histograms(part) for part in (train, val, test))
    return _learnt(train, val, test, target, seed)


def _with_histograms(part: Sequence[Example]) -> list[Example]:
    """The same examples with the histogram in place of the picture, so that each picture is decoded once."""
    return [replace(example, input=histogram(example.input)) for example in part]


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
    """Whether there is something to look at and something to tell apart; if not, the plain answer is the best one."""
    has_content = any(_has_content(example.input) for example in train)
    return has_content and (target.kind == "number" or bool(_learnable(train, target)))


def _has_content(input: Any) -> bool:
    """A text without a letter or digit has none."""
    return not isinstance(input, str) or any(letter.isalnum() for letter in input)


def _learnt(
    train: Sequence[Example], val: Sequence[Example], test: Sequence[Example], target: Target, seed: int
) -> list[Prediction]:
    strength = _choose(train, val, target, seed)
    fitted = _pipeline(train, target, strength, seed).fit(_inputs(train), _truth(train, train, target))
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
    guess = np.asarray(
        _pipeline(kept, target, strength, seed).fit(_inputs(kept), _truth(kept, kept, target)).predict(_inputs(held))
    )
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


def _inputs(part: Sequence[Example]) -> Any:
    """Texts, or histograms [N, F]."""
    inputs = [example.input for example in part]
    return inputs if isinstance(inputs[0], str) else np.stack(inputs)


def _words() -> Any:
    """Words and pairs of words, lower-cased, none left out: with few examples a rare word is often the one that tells."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\b\w+\b")  # noqa: S106 - a pattern


def _pipeline(kept: Sequence[Example], target: Target, strength: float, seed: int) -> Any:
    """How the inputs of `kept` become numbers, and what learns from them."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    numbers = _words() if isinstance(kept[0].input, str) else StandardScaler()
    if target.kind == "number":
        return make_pipeline(numbers, Ridge(alpha=1.0 / strength, random_state=seed))
    model: Any = LogisticRegression(C=strength, max_iter=2000, random_state=seed)
    return make_pipeline(numbers, OneVsRestClassifier(model) if target.kind == "labels" else model)


def _predict(fitted: Any, train: Sequence[Example], test: Sequence[Example], target: Target) -> list[Prediction]:
    """Predictions in the user's terms; labels that could not be learnt keep their share in training as probability."""
    if not test:
        return []
    if target.kind == "number":
        return [Prediction(float(value)) for value in fitted.predict(_inputs(test))]
    columns = _columns(train, target) if target.kind == "labels" else tuple(str(label) for label in fitted.classes_)
    table = fitted.predict_proba(_inputs(test))
    shares = _shares(train, target)
    return [_labelled({**shares, **dict(zip(columns, map(float, row), strict=True))}, target) for row in table]


def _labelled(probabilities: dict[str, float], target: Target) -> Prediction:
    if target.kind == "labels":
        return Prediction(tuple(label for label in target.labels if probabilities[label] >= 0.5), probabilities)
    return Prediction(max(target.labels, key=probabilities.__getitem__), probabilities)
