"""headstart: transfer learning as composition. See `Recipe.load(...).run()` and `load(run).predict([...])`.

Importing this package is quick and imports no torch; every public name is imported when it is first used. The functions
`build` and `fit` stand in the modules of their names (`from headstart.fit import fit`): one name cannot mean both.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headstart.version import __version__

if TYPE_CHECKING:
    from headstart import errors as errors
    from headstart import metrics as metrics
    from headstart.backbone import Backbone as Backbone
    from headstart.backbone import WeightsCard as WeightsCard
    from headstart.components import Component as Component
    from headstart.data import Data as Data
    from headstart.estimator import HeadstartClassifier as HeadstartClassifier
    from headstart.evaluation import Evaluation as Evaluation
    from headstart.example import Example as Example
    from headstart.example import Target as Target
    from headstart.features import Features as Features
    from headstart.head import Head as Head
    from headstart.head import Prediction as Prediction
    from headstart.hookspecs import hookimpl as hookimpl
    from headstart.model import Model as Model
    from headstart.phases import Group as Group
    from headstart.phases import Phase as Phase
    from headstart.place import Place as Place
    from headstart.place import locate as locate
    from headstart.recipe import Part as Part
    from headstart.recipe import Recipe as Recipe
    from headstart.run import Run as Run
    from headstart.run import load as load
    from headstart.stages import Stage as Stage
    from headstart.staging import find_stages as find_stages
    from headstart.strategy import Strategy as Strategy
    from headstart.tables import Sheet as Sheet
    from headstart.tables import read_table as read_table
    from headstart.weights_file import WeightsFile as WeightsFile
    from headstart.weights_file import find_weights as find_weights

_HOME = {
    "Backbone": "headstart.backbone",
    "Component": "headstart.components",
    "Data": "headstart.data",
    "Evaluation": "headstart.evaluation",
    "Example": "headstart.example",
    "Features": "headstart.features",
    "Group": "headstart.phases",
    "Head": "headstart.head",
    "HeadstartClassifier": "headstart.estimator",
    "Model": "headstart.model",
    "Part": "headstart.recipe",
    "Phase": "headstart.phases",
    "Place": "headstart.place",
    "Prediction": "headstart.head",
    "Recipe": "headstart.recipe",
    "Run": "headstart.run",
    "Sheet": "headstart.tables",
    "Stage": "headstart.stages",
    "Strategy": "headstart.strategy",
    "Target": "headstart.example",
    "WeightsCard": "headstart.backbone",
    "WeightsFile": "headstart.weights_file",
    "find_stages": "headstart.staging",
    "find_weights": "headstart.weights_file",
    "hookimpl": "headstart.hookspecs",
    "load": "headstart.run",
    "locate": "headstart.place",
    "read_table": "headstart.tables",
}

__all__ = [
    "Backbone",
    "Component",
    "Data",
    "Evaluation",
    "Example",
    "Features",
    "Group",
    "Head",
    "HeadstartClassifier",
    "Model",
    "Part",
    "Phase",
    "Place",
    "Prediction",
    "Recipe",
    "Run",
    "Sheet",
    "Stage",
    "Strategy",
    "Target",
    "WeightsCard",
    "WeightsFile",
    "__version__",
    "errors",
    "find_stages",
    "find_weights",
    "hookimpl",
    "load",
    "locate",
    "metrics",
    "read_table",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name in ("errors", "metrics"):
        return import_module(f"headstart.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'headstart' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
