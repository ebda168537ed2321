from __future__ import annotations

import numpy as np
import pytest
from headstart import Example, errors

from headstart_protein.alphabet import STANDARD
from headstart_protein.clusters import estimated_identity, families, in_families


def mutated(sequence: str, identity: float, seed: int) -> str:
    rng = np.random.default_rng(seed)
    places = rng.permutation(len(sequence))[: round((1 - identity) * len(sequence))]
    letters = list(sequence)
    for at in places:
        letters[at] = rng.choice([letter for letter in STANDARD if letter != letters[at]])
    return "".join(letters)


@pytest.mark.parametrize("identity", [0.6, 0.8, 0.95])
def test_the_estimate_is_near_the_share_of_equal_residues(sequences, identity):
    """Random substitutions, the case that the formula is made for; proteins of 300 residues, mean of 20 pairs."""
    pairs = [(one, mutated(one, identity, seed)) for seed, one in enumerate(sequences(20, 300, 300))]
    assert np.mean([estimated_identity(*pair) for pair in pairs]) == pytest.approx(identity, abs=0.04)


def test_unrelated_proteins_read_as_far_below_the_least_threshold(sequences):
    unrelated = sequences(40, 300, 300)
    assert max(estimated_identity(a, b) for at, a in enumerate(unrelated) for b in unrelated[:at]) < 0.4


def test_equal_residues_close_together_err_towards_alike(sequences):
    """Half of the residues equal, in one piece: the estimate must not fall below one half."""
    first, second = sequences(2, 300, 300)
    assert estimated_identity(first, first[:150] + second[150:]) > 0.5


def test_no_pair_beyond_the_threshold_stands_in_two_families(sequences):
    roots = sequences(6, 80, 120)
    every = [mutated(root, 1 - 0.06 * step, seed=step) for root in roots for step in range(5)]
    numbers = families(every, 0.6)
    beyond = [(a, b) for a in range(len(every)) for b in range(a) if estimated_identity(every[a], every[b]) >= 0.6]
    assert len(beyond) > 20
    assert all(numbers[a] == numbers[b] for a, b in beyond)
    assert len(set(numbers)) >= len(roots)


def test_families_are_chains_so_that_far_ends_stay_together(sequences):
    start = sequences(1, 200, 200)[0]
    middle = mutated(start, 0.8, 1)
    end = mutated(middle, 0.8, 2)
    assert estimated_identity(start, end) < 0.72 < min(estimated_identity(start, middle), estimated_identity(middle, end))
    assert families([start, end], 0.72) == [0, 1]
    assert families([start, middle, end], 0.72) == [0, 0, 0]


def test_short_and_unknown_sequences_are_alike_only_where_they_are_equal():
    assert families(["ACD", "ACD", "ACE", "XXXXXX", "XXXXXX", "XXXXXXX"], 0.5) == [0, 0, 1, 2, 2, 3]


def test_a_part_of_a_protein_is_of_its_family(sequences):
    whole = sequences(1, 200, 200)[0]
    assert families([whole, whole[50:120]], 0.9) == [0, 0]


def test_groups_carry_the_name_of_the_first_member(sequences):
    one, other = sequences(2, 50, 50)
    examples = in_families([Example("a", one), Example("b", other), Example("c", mutated(one, 0.9, 0))], 0.5)
    assert [example.group for example in examples] == ["like a", "like b", "like a"]


@pytest.mark.parametrize("identity", [0.39, 1.01])
def test_a_threshold_that_the_estimate_cannot_tell_is_refused(identity):
    with pytest.raises(errors.UsageError, match="identity is"):
        families(["ACDEF"], identity)
