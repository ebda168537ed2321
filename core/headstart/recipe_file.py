"""Recipe files: a document becomes a Recipe, or an error that holds every fault of it at once with its place."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from headstart.components import Kind
from headstart.errors import MissingError, Problem, RecipeError
from headstart.fitting import misfits
from headstart.located import OVERRIDE, Document, Key, override, read_document
from headstart.options import Option, PartDescription, describe, options_model
from headstart.place import PACKAGE
from headstart.plans import PLANS, plan_model, plan_options
from headstart.plugins import UnknownNameError, nearest, registry
from headstart.recipe import Part, Recipe, SplitPlan, TrainPlan
from headstart.wording import key_hint, option_faults

if TYPE_CHECKING:
    from headstart.lock_section import Lock

__all__ = ["check_recipe", "dump_recipe", "find_recipe", "load_recipe", "read_recipe", "recipe_from_mapping"]

PARTS: tuple[Kind, ...] = ("data", "backbone", "head", "strategy", "evaluation")  # in the order of a recipe
SECTIONS = ("name", "from", *PARTS, "split", "train", "baselines", "lock")
REQUIRED: tuple[Kind, ...] = ("data", "backbone")
OPTIONAL: tuple[Kind, ...] = ("evaluation",)  # absent = what the data part prescribes
NAME = re.compile(r"[\w][\w .+-]{0,99}")  # becomes part of a folder's name
BASELINES = ("auto", "scratch", "none")


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe, a file or the name of one that a plugin brings; `overrides` are "train.seed=3" and the like.

    Raises:
        RecipeError: Every fault at once, each with its place (exit code 2).
        MissingError: Nothing is wrong but that a plugin is missing or broken (exit code 4).
    """
    file = find_recipe(path)
    check = _Check(read_recipe(file, overrides), base=file.parent)
    return check.recipe(file=file, overrides=tuple(overrides))


def check_recipe(path: str | Path, overrides: Sequence[str] = ()) -> tuple[Problem, ...]:
    """Every fault of a recipe; none means that `load_recipe` gives a Recipe."""
    try:
        load_recipe(path, overrides)
    except RecipeError as error:
        return error.problems
    except MissingError as error:
        return (Problem(str(error)),)
    return ()


def recipe_from_mapping(mapping: Mapping[str, Any]) -> Recipe:
    """The same from Python: keys as in a file, values plain. Relative places are those of the working directory.

    Raises:
        RecipeError: Every fault at once, by its dotted key.
        MissingError: Nothing is wrong but that a plugin is missing or broken.
    """
    return _Check(Document("", _plain(mapping)), base=Path.cwd()).recipe()


def find_recipe(path: str | Path) -> Path:
    """The file of a recipe: the path where it exists, else the recipe of that name ("nlp/sentiment").

    Raises:
        RecipeError: There is neither; the message holds the nearest name and the known ones.
    """
    known = registry().recipes() if not _exists(path) else {}
    file = Path(path) if _exists(path) else known.get(str(path))
    if file is None:
        raise RecipeError(
            [Problem("there is no such file, and no recipe of that name", str(path), hint=nearest(str(path), tuple(known)))]
        )
    return file


def _exists(path: str | Path) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # too long for a name, say
        return False


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML with every default filled in, so that a later change of a default does not change it."""
    from ruamel.yaml import YAML

    document: dict[str, Any] = {"name": recipe.name, **({} if recipe.parent is None else {"from": recipe.parent})}
    for kind in PARTS:
        part: Part | None = getattr(recipe, kind)
        if part is None:
            continue
        defaults = {option.name: option.default for option in describe(registry().find(kind, part.use)).options}
        document[kind] = _plain({"use": part.use, **defaults, **part.options})
    for section, plan in (("split", recipe.split), ("train", recipe.train)):
        document[section] = {entry.name: getattr(plan, entry.name) for entry in fields(PLANS[section])}
    document["baselines"] = recipe.baselines
    writer, stream = YAML(typ="safe", pure=True), io.StringIO()
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment] # ruamel annotates the default, None, as its type
    writer.width = 10_000  # no folded lines: they are harder to read and to compare
    writer.dump(document, stream)
    return stream.getvalue()


def read_recipe(file: Path, overrides: Sequence[str]) -> Document:
    """The document of a recipe with its overrides set; faults are left in `problems`.

    Raises:
        RecipeError: The file is no YAML at all.
    """
    document = read_document(file)
    for number, text in enumerate(overrides, start=1):
        try:
            override(document, text, number)
        except RecipeError as error:
            document.problems += error.problems
    return document


@dataclass
class _Check:
    """One pass over a document that collects problems instead of stopping at the first."""

    document: Document
    base: Path
    problems: list[Problem] = field(default_factory=list)
    absences: list[MissingError] = field(default_factory=list)
    found: dict[Kind, PartDescription] = field(default_factory=dict)

    def recipe(self, *, file: Path | None = None, overrides: tuple[str, ...] = ()) -> Recipe:
        """The recipe, or RecipeError with all problems."""
        self.problems += self.document.problems
        if isinstance(self.document.data, dict):
            values = self._values(self.document.data)
        else:
            message = "is empty" if self.document.data is None else "a recipe is a mapping of sections"
            self.problems.append(self.document.at_value((), message, "begin with data:, backbone:, head:, strategy:"))
        self._raise()
        return Recipe(**values, file=file, overrides=overrides)

    def _raise(self) -> None:
        if self.absences and len(self.absences) == len(self.problems):
            raise type(self.absences[0])("\n".join(map(str, self.problems))) from self.absences[0]
        if self.problems:
            raise RecipeError(_in_order(self.problems))

    def _values(self, data: dict[str, Any]) -> dict[str, Any]:
        self._find_parts(data)
        self._unknown_sections(data)
        values: dict[str, Any] = {kind: self._part(kind, data.get(kind)) for kind in PARTS if kind in data}
        values.update({section: self._plan(section, data[section]) for section in PLANS if section in data})
        values.update({key: data[key] for key in ("name", "baselines") if self._is_sound(key, data)})
        values.update(parent=self._parent(data.get("from")), lock=self._lock(data.get("lock")))
        options = {kind: part.options for kind in self.found if (part := values.get(kind)) is not None}
        for misfit in misfits(self.found, options):
            way = (misfit.section, "use") if isinstance(data.get(misfit.section), dict) else (misfit.section,)
            self.problems.append(self.document.at_value(way, misfit.message, misfit.hint))
        return values

    # parts

    def _find_parts(self, data: Mapping[str, Any]) -> None:
        for kind in PARTS:
            if kind in OPTIONAL and kind not in data:
                continue
            default = None if kind in REQUIRED or kind in OPTIONAL else getattr(Recipe, kind).use
            section = data.get(kind, default)
            way: Key = (kind, "use") if isinstance(section, dict) else (kind,)
            use = section.get("use") if isinstance(section, dict) else section
            if isinstance(use, str):
                self._find(kind, use, way)
            else:
                self.problems.append(self._unnamed(kind, section, way))

    def _find(self, kind: Kind, use: str, way: Key) -> None:
        try:
            self.found[kind] = describe(registry().find(kind, use))
        except UnknownNameError as error:
            self.problems.append(self.document.at_value(way, f"no {kind} named '{use}'", error.hint))
        except MissingError as error:
            self.absences.append(error)
            self.problems.append(self.document.at_value(way, str(error)))

    def _unnamed(self, kind: Kind, section: Any, way: Key) -> Problem:
        known = f"{kind}: {', '.join(registry().names(kind))}"
        if kind not in self.document.data:
            return self.document.at_key((), f"the section '{kind}' is missing", f"add '{kind}:' with one of {known}")
        if isinstance(section, dict):
            message = "'use' must be the name of a part" if "use" in section else f"'{kind}' names no part"
            return self.document.at_key(way, message, f"add 'use:' with one of {known}")
        return self.document.at_value(way, f"'{kind}' must be the name of a part, or a section with 'use'", known)

    def _part(self, kind: Kind, section: Any) -> Part | None:
        given = {key: value for key, value in section.items() if key != "use"} if isinstance(section, dict) else {}
        if kind not in self.found:
            return None
        description = self.found[kind]
        for option in description.options:
            if option.has_place and option.name in given:
                given[option.name] = self._placed(given[option.name], (kind, option.name))
        values = self._checked(kind, options_model(description.component), description.options, given)
        if values is not None and description.attributes.get("wraps") == kind:
            self._check_wrapped(kind, {option.name: option.default for option in description.options} | values)
        return None if values is None else Part(description.component.name, values)

    def _check_wrapped(self, kind: Kind, values: Mapping[str, Any]) -> None:
        """The part that this one wraps is named by its option `main`, and has the options in `options`."""
        from pydantic import ValidationError

        try:
            inner = describe(registry().find(kind, values["main"]))
        except UnknownNameError as error:
            self.problems.append(self.document.at_value((kind, "main"), f"no {kind} named '{values['main']}'", error.hint))
            return
        given = values["options"] or {}
        try:
            options_model(inner.component).model_validate(dict(given))
        except ValidationError as error:
            known: dict[str, list[str]] = {kind: [option.name for option in inner.options]}
            for fault in option_faults(inner.options, given, error.errors(include_url=False)):
                hint = key_hint(str(fault.way[0]), kind, known) if fault.is_unknown else fault.hint
                place = self.document.at_key if fault.is_unknown else self.document.at_value
                self.problems.append(place((kind, "options", *fault.way), fault.message, hint))

    def _placed(self, value: Any, way: Key) -> Any:
        """Relative places made absolute where something exists there."""
        if isinstance(value, list):
            return [self._placed(item, (*way, index)) for index, item in enumerate(value)]
        if isinstance(value, dict):
            return {name: self._placed(item, (*way, name)) for name, item in value.items()}
        if not isinstance(value, str) or not value or "\0" in value or value.startswith((PACKAGE, "~", "/")):
            return value
        spot = self.document.values.get(way)
        base = Path.cwd() if spot and spot.file == OVERRIDE else self.base
        try:
            return str((base / value).resolve()) if (base / value).exists() else value
        except OSError:  # too long for a name, say: then it is none
            return value

    # plans and plain values

    def _plan(self, section: str, given: Any) -> SplitPlan | TrainPlan | None:
        if not isinstance(given, dict):
            self.problems.append(self.document.at_value((section,), f"'{section}' must be a section of key: value lines"))
            return None
        values = self._checked(section, plan_model(section), plan_options(section), given)
        if values is None:
            return None
        if section == "train" and (values.get("micro_batch") or 0) > values.get("batch_size", TrainPlan.batch_size):
            size = values.get("batch_size", TrainPlan.batch_size)
            message = f"'micro_batch' is {values['micro_batch']}, more than the batch_size of {size}"
            self.problems.append(self.document.at_value(("train", "micro_batch"), message, "it is a part of one batch"))
        plan: SplitPlan | TrainPlan = PLANS[section](**values)
        return plan

    def _parent(self, run: Any) -> str | None:
        if run is None or (isinstance(run, str) and run):
            return None if run is None else str(self._placed(run, ("from",)))
        hint = "like runs/latest; the option --from RUN says the same"
        self.problems.append(self.document.at_value(("from",), f"'from' must be the folder of a run, got {run!r}", hint))
        return None

    def _lock(self, section: Any) -> Lock | None:
        if section is None:
            return None
        from headstart.lock_section import WITHOUT, read_lock

        def fault(way: Key, message: str) -> None:
            hint = f"take the file from the run again, or run without its lock: {WITHOUT}"
            self.problems.append(self.document.at_value(("lock", *way), message, hint))

        return read_lock(section, fault)

    def _is_sound(self, key: str, data: Mapping[str, Any]) -> bool:
        if key not in data:
            return False
        value = data[key]
        if key == "baselines" and value not in BASELINES:
            known = f"{', '.join(BASELINES[:-1])} or {BASELINES[-1]}"
            self.problems.append(self.document.at_value((key,), f"'baselines' must be {known}, got {value!r}"))
        elif key == "name" and not (isinstance(value, str) and NAME.fullmatch(value)):
            hint = "letters, digits, space . _ + - (it names the folder of the run); put numbers in quotes"
            self.problems.append(self.document.at_value((key,), f"'name' must be a short text, got {value!r}", hint))
        else:
            return True
        return False

    # keys and values of one section

    def _checked(self, section: str, model: Any, options: Sequence[Option], given: Mapping[str, Any]) -> dict[str, Any] | None:
        from pydantic import ValidationError

        try:
            return dict(model.model_validate(dict(given)).model_dump(exclude_unset=True))
        except ValidationError as error:
            self.problems += self._faults(section, options, given, error.errors(include_url=False))
            return None

    def _faults(
        self, section: str, options: Sequence[Option], given: Mapping[str, Any], errors: Iterable[Any]
    ) -> Iterator[Problem]:
        for fault in option_faults(options, given, errors):
            way: Key = (section, *fault.way)
            if fault.is_unknown:
                hint = key_hint(str(fault.way[0]), section, self._known_keys())
                yield self.document.at_key(way, fault.message, hint)
            elif fault.is_missing:
                yield self.document.at_key((section,), fault.message, fault.hint)
            elif fault.is_of_key:
                yield self.document.at_key(way, fault.message, fault.hint)
            else:
                yield self.document.at_value(way, fault.message, fault.hint)

    def _unknown_sections(self, data: Mapping[str, Any]) -> None:
        for key in data:
            if key not in SECTIONS:
                hint = key_hint(key, "", self._known_keys())
                self.problems.append(self.document.at_key((key,), f"unknown key '{key}'", hint))

    def _known_keys(self) -> dict[str, tuple[str, ...]]:
        """Section -> its keys; "" = the sections themselves."""
        known: dict[str, tuple[str, ...]] = {"": SECTIONS}
        for kind, description in self.found.items():
            known[kind] = ("use", *(option.name for option in description.options))
        for section in PLANS:
            known[section] = tuple(option.name for option in plan_options(section))
        return known


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, in the order of the file, overrides last."""
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.file == OVERRIDE, problem.line, problem.column))


def _plain(value: Any) -> Any:
    """The same in types that YAML has: paths as texts, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, PurePath) else value
