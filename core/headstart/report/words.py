"""Numbers and names as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.scores import LOWER_IS_BETTER

SCORE_NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "balanced_accuracy": "balanced accuracy",
    "mcc": "Matthews correlation",
    "auroc": "AUROC",
    "average_precision": "average precision",
    "mean_average_precision": "mean average precision",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
    "r2": "R²",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "spearman": "Spearman correlation",
    "subset_accuracy": "subset accuracy",
    "hamming_loss": "Hamming loss",
    "nmi": "normalised mutual information",
    "ari": "adjusted Rand index",
}
MODEL_NAMES = {
    "run": "This run",
    "majority": "majority class",
    "mean": "mean of the training values",
    "scratch": "the same network from random weights",
    "tfidf-logistic": "TF-IDF + logistic regression",
    "tfidf-ridge": "TF-IDF + ridge regression",
    "histogram-logistic": "colour histogram + logistic regression",
    "histogram-ridge": "colour histogram + ridge regression",
    "numbers-logistic": "plain features + logistic regression",
    "numbers-ridge": "plain features + ridge regression",
}
IN_POINTS = frozenset(
    {"accuracy", "macro_f1", "micro_f1", "balanced_accuracy", "auroc", "average_precision", "mean_average_precision"}
    | {"subset_accuracy", "f1"}
)  # shares of one: a difference reads best in percentage points


def score_name(name: str) -> str:
    """The name of a score in a sentence."""
    return SCORE_NAMES.get(name, name.replace("_", " "))


def model_name(name: str) -> str:
    """The name of the run or of a baseline in a sentence."""
    return MODEL_NAMES.get(name, name)


def capital(text: str) -> str:
    """With a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def number(value: float) -> str:
    """Three decimals for scores near one, four figures for the rest."""
    if abs(value) < 10:
        return f"{value:.3f}".replace("-", "\N{MINUS SIGN}")
    return f"{value:,.4g}".replace("-", "\N{MINUS SIGN}") if abs(value) < 1e6 else f"{value:.3g}"


def interval(found: Mapping[str, Any]) -> str:
    """The ends of an interval: "[0.848, 0.892]"."""
    return f"[{number(found['low'])}, {number(found['high'])}]"


def count(n: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 example", "1,204 examples"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def percent(share: float, digits: int = 0) -> str:
    """A share of one as a percentage; what is not quite all is not rounded to all."""
    text = f"{100 * share:.{digits}f}"
    if share < 1 and digits and float(text) == 100:
        return f"> {100 - 10**-digits:.{digits}f} %"
    return f"{text} %"


def rate(value: float) -> str:
    """A learning rate: "1e-3", "2.5e-5"."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def duration(seconds: float) -> str:
    """A time span: "8.2 s", "3 min 12 s", "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def verdict(name: str, difference: Mapping[str, Any], baseline: str) -> str:
    """One plain sentence about the paired difference (run minus baseline) of a score."""
    value, low, high = (float(difference[key]) for key in ("value", "low", "high"))
    if name in LOWER_IS_BETTER:
        value, low, high = -value, -high, -low
    other = model_name(baseline)
    if low > 0:
        return f"Better than {other} by {_gap(name, value, low, high)}."
    if high < 0:
        return f"Worse than {other} by {_gap(name, -value, -high, -low)}."
    return f"Not shown to be better than {other}: the difference, {_gap(name, value, low, high)}, includes zero."


def _gap(name: str, value: float, low: float, high: float) -> str:
    if name in IN_POINTS:
        ends = ", ".join(f"{100 * end:.1f}" for end in (low, high)).replace("-", "\N{MINUS SIGN}")
        points = f"{100 * value:.1f}".replace("-", "\N{MINUS SIGN}")
        return f"{points} points of {score_name(name)} [{ends}]"
    return f"{number(value)} in {score_name(name)} [{number(low)}, {number(high)}]"
