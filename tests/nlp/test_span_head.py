"""The span head: what is right in its loss, which spans are valid, and what a prediction tells."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from headstart.errors import DataError, UsageError
from headstart.example import Target
from headstart.features import collate, unbatch
from headstart_nlp.pair_encoder import PairEncoder
from headstart_nlp.pair_tokens import OPENING, SECOND
from headstart_nlp.questions.answers import Answer, Gold
from headstart_nlp.questions.decoding import Reading, best_spans, no_answer_score
from headstart_nlp.questions.span import Span

TEXT = "Denver beat Carolina by ten points in February, and the fans of Denver cheered until the morning came at last."
PORTS = {"tokens": 384, "mask": 1, "offsets": 2, "segment": 1, "windows": 1, "characters": 1}


@pytest.fixture(scope="module")
def encoder():
    made = PairEncoder(max_tokens=20, stride=5)
    made.eval()
    return made


@pytest.fixture(scope="module")
def features(encoder):
    with torch.no_grad():
        return dict(encoder(encoder.prepare([("Who lost?", TEXT), ("When?", "In May.")])))


def gold(*texts, text=TEXT):
    return Gold(Answer(t, text.index(t)) for t in texts)


def with_scores(encoder, features, starts, ends):
    """Features in which the linear layer reads chosen scores: tokens [B, L, 2] go through an identity."""
    head = Span({**PORTS, "tokens": 2}, Target("span"))
    with torch.no_grad():
        head.out.weight.copy_(torch.eye(2))
    head.eval()
    return head, {**features, "tokens": torch.stack([starts, ends], dim=-1)}


def at(features, row, character, side):
    """Tokens of the text that begin (side 0) or end (side 1) at a character."""
    return (features["segment"][row] == SECOND) & (features["offsets"][row, :, side] == character)


def test_a_long_text_has_several_windows_here(features):
    assert features["windows"][0].max() >= 2


def test_loss_is_the_log_probability_of_every_place_where_the_answer_stands_whole(encoder, features):
    torch.manual_seed(0)
    scores = torch.randn(2, features["mask"].shape[1], 2)
    head, chosen = with_scores(encoder, features, scores[..., 0], scores[..., 1])
    answer = gold("fans of Denver")
    losses = head.loss(chosen, [answer, gold("May", text="In May.")])
    expected = torch.zeros(2)
    for row, (start, end) in enumerate([(TEXT.index("fans"), TEXT.index(" cheered")), (3, 6)]):
        is_text = features["segment"][row] == SECOND
        begins, ends = at(features, row, start, 0), at(features, row, end, 1)
        whole = set(features["windows"][row][begins].tolist()) & set(features["windows"][row][ends].tolist())
        assert whole, "the case is about something"
        for side, places in enumerate((begins, ends)):
            right = places & torch.tensor([w in whole for w in features["windows"][row].tolist()])
            values = scores[row, :, side]
            expected[side] += values[is_text].logsumexp(0) - values[right].logsumexp(0)
    assert losses["start"].item() == pytest.approx(expected[0].item() / 4, rel=1e-5)
    assert losses["end"].item() == pytest.approx(expected[1].item() / 4, rel=1e-5)


def test_a_question_whose_answer_is_cut_away_teaches_nothing_and_breaks_nothing(encoder):
    short = PairEncoder(max_tokens=16, long="head")
    with torch.no_grad():
        features = dict(short(short.prepare([("Who lost?", TEXT)])))
    head = Span(PORTS, Target("span"))
    loss = sum(head.loss(features, [gold("at last")]).values())
    loss.backward()
    assert loss.item() == 0
    assert all(torch.isfinite(weight.grad).all() and not weight.grad.any() for weight in head.parameters())


def test_unanswerable_questions_point_at_the_opening_tokens_of_all_windows(encoder, features):
    scores = torch.zeros(2, features["mask"].shape[1])
    head, chosen = with_scores(encoder, features, scores, scores)
    head.settle([Gold(), gold("Denver")])
    opening = features["segment"] == OPENING
    allowed = opening | (features["segment"] == SECOND)
    expected = -torch.log(opening.sum(1) / allowed.sum(1)).mean() / 2
    assert head.loss(chosen, [Gold(), Gold()])["start"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_without_unanswerable_training_questions_no_answer_is_never_said(encoder, features):
    high = torch.where(features["segment"] == OPENING, 9.0, 0.0)
    head, chosen = with_scores(encoder, features, high, high)
    head.settle([gold("Denver")])
    plain = head.predict(chosen)[0]
    head.settle([gold("Denver"), Gold()])
    aware = head.predict(chosen)[0]
    assert plain.value
    assert plain.details["no_answer"] is None
    assert aware.value == ""
    assert aware.details["no_answer"] > 0
    assert aware.details["n_best"][0]["text"] == ""
    assert aware.details["answer"], "what it would say"


def test_the_answer_is_the_original_text_between_the_best_tokens(encoder, features):
    starts = torch.where(at(features, 0, TEXT.index("Carolina"), 0), 9.0, 0.0)
    ends = torch.where(at(features, 0, TEXT.index(" points"), 1), 9.0, 0.0)
    zero = torch.zeros_like(starts)
    head, chosen = with_scores(encoder, features, torch.stack([starts, zero]), torch.stack([ends, zero]))
    found = head.predict(chosen)[0]
    assert found.value == "Carolina by ten"
    assert TEXT[found.details["start"] : found.details["end"]] == found.value
    assert sum(entry["probability"] for entry in found.details["n_best"]) == pytest.approx(1.0)
    assert found.details["n_best"][0]["text"] == found.value


def brute(reading, text, longest):
    """Every valid span, tried out."""
    best = {}
    for first, last in itertools.product(range(len(reading.starts)), repeat=2):
        ok = first <= last < first + longest and reading.windows[first] == reading.windows[last]
        if ok and reading.segment[first] == SECOND == reading.segment[last]:
            span = text[reading.offsets[first, 0] : reading.offsets[last, 1]]
            start = int(reading.offsets[first, 0]) + len(span) - len(span.lstrip())
            key = (start, start + len(span.strip()))
            if key[0] < key[1]:
                best[key] = max(best.get(key, -np.inf), reading.starts[first] + reading.ends[last])
    return sorted(best.items(), key=lambda item: -item[1])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("longest", [1, 3, 99])
def test_the_best_spans_are_those_that_trying_all_would_find(features, seed, longest):
    rng = np.random.default_rng(seed)
    length = features["mask"].shape[1]
    starts, ends = rng.normal(size=(2, length))
    ports = [features[name][0].numpy() for name in ("segment", "windows", "offsets")]
    reading = Reading(starts, ends, *ports)
    found = best_spans(reading, TEXT, most=5, longest=longest)
    expected = brute(reading, TEXT, longest)[:5]
    assert [((c.start, c.end), pytest.approx(c.score)) for c in found] == expected


def test_no_answer_adds_up_over_windows(features):
    starts = np.log(np.full(features["mask"].shape[1], 0.1))
    ports = [features[name][0].numpy() for name in ("segment", "windows", "offsets")]
    windows = int(features["windows"][0].max()) + 1
    assert no_answer_score(Reading(starts, starts, *ports)) == pytest.approx(np.log(0.01 * windows))


def test_a_text_without_any_token_has_no_answer_and_no_broken_number(encoder):
    with torch.no_grad():
        features = dict(encoder(encoder.prepare([("Who?", "\u200b")])))
    head = Span(PORTS, Target("span"))
    found = head.predict(features)[0]
    assert (found.value, found.details["n_best"]) == ("", [])
    assert torch.isfinite(sum(head.loss(features, [Gold()]).values()))


def test_stored_and_padded_features_give_the_same_predictions(encoder, features):
    torch.manual_seed(1)
    head = Span(PORTS, Target("span"))
    head.eval()
    rows = unbatch(features, head.needs)
    again = head.predict(collate([rows[1], rows[0]]))
    alone = head.predict(collate([rows[1]]))
    live = head.predict(features)
    assert [p.value for p in again] == [live[1].value, live[0].value]
    assert alone[0].value == live[1].value
    assert [p.details["start"] for p in again] == [live[1].details["start"], live[0].details["start"]]


def test_a_network_without_special_tokens_cannot_learn_that_there_is_no_answer(tiny):
    encoder = PairEncoder(weights=str(tiny("gpt2")), max_tokens=24, long="head")
    features = encoder(encoder.prepare([("what is", "the film")]))
    head = Span({**encoder.ports}, Target("span"))
    head.settle([Gold()])
    with pytest.raises(DataError, match="no opening token"):
        head.loss(features, [Gold()])


@pytest.mark.parametrize("options", [{"longest": 0}, {"n_best": 0}, {"dropout": 1.0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match="must be at least"):
        Span(PORTS, Target("span"), **options)
