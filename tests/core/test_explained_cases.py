"""Cases worth a look: by rule, each label in turn, numbers by their error, and nothing that the run would not answer."""

from __future__ import annotations

from headstart.example import Example
from headstart.explained_cases import CLOSE, SURE, WRONG, choose_cases
from headstart.predictions import SavedOutcome, SavedPrediction


def test_numbers_show_the_largest_errors_and_then_the_smallest() -> None:
    said = {"a": 1.0, "b": 5.0, "c": 2.5, "d": 3.0}
    examples = [Example(name, None, 3.0) for name in said]
    cases = choose_cases(SavedOutcome("run", "test", -1, examples, [SavedPrediction(v) for v in said.values()]), "number", 3)
    assert [(case.id, case.why) for case in cases] == [("a", WRONG), ("d", SURE), ("c", SURE)]
    assert (cases[0].label, cases[0].answer, cases[0].truth) == ("", 1.0, 3.0)


def test_an_answer_that_the_run_withheld_and_one_without_truth_are_left_out() -> None:
    shares = {"no": 0.1, "yes": 0.9}
    examples = [Example("a", None, "no"), Example("b", None, "no"), Example("c", None, None)]
    predictions = [
        SavedPrediction("yes", shares, {"abstain": True}),
        SavedPrediction("yes", shares),
        SavedPrediction("no", shares),
    ]
    cases = choose_cases(SavedOutcome("run", "test", -1, examples, predictions), "class", 4)
    assert [(case.id, case.why) for case in cases] == [("b", WRONG)]


def test_a_case_is_shown_once_under_the_first_rule_that_chose_it() -> None:
    examples = [Example(str(at), None, "no") for at in range(3)]
    predictions = [SavedPrediction("no", {"no": share, "yes": 1 - share}) for share in (0.6, 0.9, 0.8)]
    cases = choose_cases(SavedOutcome("run", "test", -1, examples, predictions), "class", 3)
    assert [(case.id, case.why) for case in cases] == [("0", CLOSE), ("1", SURE), ("2", SURE)]
