"""What the core itself offers, by the same hooks as any plugin; importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from headstart.components import Component
from headstart.hookspecs import hookimpl

ROOT = Path(__file__).resolve().parents[3]  # of the repository, where headstart is installed from a checkout


@hookimpl
def headstart_backbones() -> Iterator[Component]:
    """Backbones that need no weights."""
    yield Component(
        "vectors",
        "headstart.builtin.vectors:Vectors",
        "numeric vectors, standardised; for HeadstartClassifier on arrays",
    )


@hookimpl
def headstart_heads() -> Iterator[Component]:
    """Heads trained by gradient, in closed form, and by clustering."""
    neural, closed = "headstart.builtin.heads_neural", "headstart.builtin.heads_closed"
    yield Component("linear", f"{neural}:Linear", "one linear layer with softmax: one label of several")
    yield Component("mlp", f"{neural}:MLP", "hidden layers with dropout before the softmax: one label of several")
    yield Component("regression", f"{neural}:Regression", "one linear layer: a number, standardised while training")
    yield Component("multilabel", f"{neural}:MultiLabel", "one sigmoid per label: any set of labels")
    ordinal = "headstart.builtin.head_ordinal:Ordinal"
    yield Component("ordinal", ordinal, "grades in their order, CORAL; Cao et al. 2020")
    yield Component("aux", "headstart.builtin.head_aux:Aux", "a head with auxiliary classifiers; Szegedy et al. 2014")
    yield Component("joined", "headstart.builtin.head_joined:Joined", "another head on several ports, joined to one vector")
    yield Component("logistic", f"{closed}:Logistic", "scikit-learn's logistic regression on frozen features, solved in one go")
    yield Component("svm", f"{closed}:SVM", "scikit-learn's linear support vector machine on frozen features")
    yield Component("knn", f"{closed}:KNN", "the labels of the nearest training examples in feature space")
    prototype = "headstart.builtin.head_prototype:Prototype"
    yield Component("prototype", prototype, "the label whose mean is nearest, for few examples; Snell et al. 2017")
    contrast = "headstart.builtin.head_contrast:Contrast"
    yield Component("contrast", contrast, "draws examples of a label together, for few labels; Tunstall et al. 2022")
    yield Component("kmeans", "headstart.builtin.heads_cluster:KMeans", "clusters of frozen features, compared with the labels")


@hookimpl
def headstart_strategies() -> Iterator[Component]:
    """From nothing of the backbone to all of it."""
    home = "headstart.builtin.strategies"
    yield Component("probe", f"{home}:Probe", "the backbone stays frozen; only the head learns, on features computed once")
    yield Component("full", f"{home}:Full", "everything trains, with rates that may decay with depth")
    yield Component("gradual", f"{home}:Gradual", "the head first, then stage by stage from the top; Howard & Ruder 2018")
    yield Component(
        "ulmfit", "headstart.builtin.strategy_ulmfit:Ulmfit", "a stage an epoch, rates over 2.6 by depth; Howard & Ruder 2018"
    )
    setfit = "headstart.builtin.strategy_setfit:SetFit"
    yield Component("setfit", setfit, "everything learns which examples are alike, then the head alone; Tunstall et al. 2022")
    part = "headstart.builtin.strategies_partial"
    yield Component("probe-then-full", f"{part}:ProbeThenFull", "LP-FT: the head first, then everything; Kumar et al. 2022")
    yield Component("last-stages", f"{part}:LastStages", "the head and the last stages; what lies below is replayed")
    yield Component("norm-only", f"{part}:NormOnly", "the head and the normalisation layers; Frankle et al. 2021")
    yield Component("bitfit", f"{part}:BitFit", "the head and the biases; Ben Zaken et al. 2022")
    yield Component("l2-sp", f"{part}:L2SP", "everything, drawn back to where it started; Li et al. 2018")
    whole = "headstart.builtin.strategies_whole"
    yield Component("layer-decay", f"{whole}:LayerDecay", "everything, each stage slower than the one above; Clark et al. 2020")
    yield Component("scratch", f"{whole}:Scratch", "no transfer: everything, from random weights")
    yield Component("schedule", "headstart.builtin.strategy_schedule:Schedule", "phases that the recipe writes out itself")
    lora = "headstart.builtin.strategy_lora:Lora"
    yield Component("lora", lora, "low-rank factors beside frozen weights; Hu et al. 2022", requires=("peft",))


@hookimpl
def headstart_data() -> Iterator[Component]:
    """Readers of tables and of the Hugging Face hub."""
    yield Component("table", "headstart.builtin.table:Table", "rows of a csv, tsv, jsonl or parquet file")
    yield Component("hub", "headstart.builtin.hub:Hub", "a dataset of the Hugging Face hub by id@revision")
    memory = "headstart.builtin.memory"
    yield Component("memory-texts", f"{memory}:MemoryTexts", "texts handed over in Python; for HeadstartClassifier")
    yield Component("memory-vectors", f"{memory}:MemoryVectors", "vectors handed over in Python; for HeadstartClassifier")


@hookimpl
def headstart_cases() -> Iterator[Component]:
    """What the conformance kit runs the core's parts with."""
    yield Component("cases", "headstart.testing.core_cases:cases", "options and inputs for the conformance kit")


@hookimpl
def headstart_recipes() -> Iterator[Path]:
    """The repository's recipes, where headstart is installed from a checkout."""
    if (ROOT / "pyproject.toml").is_file() and (ROOT / "recipes").is_dir():
        yield ROOT / "recipes"
