"""The head `nlp/named`: it knows its labels' names before it has seen an example, and learns on from there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from headstart.errors import UsageError
from headstart.example import Target
from headstart_nlp.encoder import Encoder
from headstart_nlp.named import Named
from headstart_nlp.pair_encoder import PairEncoder

TOPICS = Target("class", ("cooking", "football", "astronomy"))
TEXTS = (
    ("Boil the pasta, then fry garlic in olive oil.", "cooking"),
    ("Let the dough rise for an hour before baking.", "cooking"),
    ("The striker scored twice in the second half.", "football"),
    ("The goalkeeper saved a penalty and the home team won the league.", "football"),
    ("The telescope saw a galaxy nine billion light years away.", "astronomy"),
    ("Jupiter has four large moons and many small ones.", "astronomy"),
)


@pytest.mark.slow
def test_names_alone_sort_texts_by_topic() -> None:
    """A real encoder of 22.7 million parameters."""
    encoder = Encoder().eval()
    head = Named(encoder.ports, TOPICS)
    head.join(encoder)
    with torch.no_grad():
        said = [p.value for p in head.predict(encoder(encoder.prepare([text for text, _ in TEXTS])))]
    assert said == [label for _, label in TEXTS]


def test_the_first_logits_are_cosines_with_the_names_up_to_what_they_share(tiny: Callable[[str], Path]) -> None:
    encoder = Encoder(weights=str(tiny("bert"))).train()
    target = Target("class", ("0", "1"))
    head = Named(encoder.ports, target, template="a {} film", names={"0": "dull", "1": "funny"})
    head.join(encoder)
    assert encoder.training
    encoder.eval()
    with torch.no_grad():
        names = encoder(encoder.prepare(["a dull film", "a funny film"]))["pooled"]
        text = encoder(encoder.prepare(["what a joy"]))["pooled"]
        logits = head.outputs({"pooled": text})[0]
    cosines = torch.nn.functional.cosine_similarity(text, names)
    gap = 20 * (cosines[1] - cosines[0]) * text.norm() / names.norm(dim=1).mean()
    assert float(logits[1] - logits[0]) == pytest.approx(float(gap), abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"template": "no slot"}, "it holds {} once"), ({"names": {"2": "two"}}, "names has '2'; the labels are 0, 1")],
)
def test_options_that_name_nothing_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Named({"pooled": 4}, Target("class", ("0", "1")), **options)  # type: ignore[arg-type]  # parametrised options


def test_a_backbone_for_pairs_is_refused(tiny: Callable[[str], Path]) -> None:
    encoder = PairEncoder(weights=str(tiny("bert")))
    with pytest.raises(UsageError, match="a backbone for single texts"):
        Named(encoder.ports, TOPICS).join(encoder)
