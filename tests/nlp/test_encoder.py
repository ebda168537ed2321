"""The encoder gives the features that its options promise, and comes back from its folder unchanged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from headstart.errors import DataError, UsageError
from headstart.features import Features
from headstart_nlp.encoder import Encoder

Tiny = Callable[[str], Path]


def features(encoder: Encoder, texts: Sequence[str]) -> Features:
    encoder.eval()
    with torch.no_grad():
        return encoder(encoder.prepare(texts))


def words(pooling: str, tokens: torch.Tensor) -> torch.Tensor:
    """Pooling of one text without padding, by hand: [L, C] -> [C]."""
    by_hand = {"mean": tokens.mean(0), "cls": tokens[0], "max": tokens.max(0).values, "last": tokens[-1]}
    return by_hand[pooling]


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "last"])
def test_pooled_equals_what_a_hand_computes_from_single_texts(tiny: Tiny, texts: tuple[str, ...], pooling: str) -> None:
    encoder = Encoder(weights=str(tiny("bert")), pooling=pooling)  # type: ignore[arg-type]  # parametrised over the literals
    pooled = features(encoder, texts)["pooled"]
    for i, text in enumerate(texts):
        ids = torch.tensor([encoder.tokenizer.hf(text)["input_ids"]])
        with torch.no_grad():
            alone = encoder.network(input_ids=ids).last_hidden_state[0]
        torch.testing.assert_close(pooled[i], words(pooling, alone), atol=1e-5, rtol=0)


def test_padding_does_not_change_what_a_text_gives(tiny: Tiny, texts: tuple[str, ...], family: str) -> None:
    encoder = Encoder(weights=str(tiny(family)))
    together = features(encoder, texts)
    for i, text in enumerate(texts):
        alone = features(encoder, [text])
        length = int(together["mask"][i].sum())
        torch.testing.assert_close(together["pooled"][i], alone["pooled"][0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together["tokens"][i, :length], alone["tokens"][0], atol=1e-5, rtol=0)


def test_a_batch_has_the_shapes_that_the_ports_declare(tiny: Tiny, texts: tuple[str, ...]) -> None:
    encoder = Encoder(weights=str(tiny("distilbert")))
    batch, given = encoder.prepare(texts), features(encoder, texts)
    longest = max(encoder.sizes(texts))
    assert tuple(given) == encoder.port_names == tuple(encoder.ports)
    assert given["pooled"].shape == (4, encoder.ports["pooled"])
    assert given["tokens"].shape == (4, longest, encoder.ports["tokens"])
    assert batch["input_ids"].shape == given["mask"].shape == (4, longest)
    assert given["mask"].sum(dim=1).tolist() == encoder.sizes(texts)


def test_preparing_twice_gives_the_same_batch(tiny: Tiny, texts: tuple[str, ...]) -> None:
    encoder = Encoder(weights=str(tiny("bert")))
    first, second = encoder.prepare(texts, train=True), encoder.prepare(texts)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_an_empty_text_gives_finite_features(tiny: Tiny, family: str) -> None:
    given = features(Encoder(weights=str(tiny(family))), ["", "the film"])
    assert all(torch.isfinite(given[port]).all() for port in ("pooled", "tokens"))


def test_something_that_is_no_text_is_named(tiny: Tiny) -> None:
    with pytest.raises(DataError, match="a text is expected, but an input is a float: nan"):
        Encoder(weights=str(tiny("bert"))).prepare(["fine", float("nan")])


def test_saved_and_loaded_again_it_gives_equal_features(
    tiny: Tiny, texts: tuple[str, ...], family: str, tmp_path: Path
) -> None:
    options = {"weights": str(tiny(family)), "max_tokens": 12}
    encoder = Encoder(**options)  # type: ignore[arg-type]  # as the engine passes a recipe's options
    with torch.no_grad():
        next(encoder.network.parameters()).add_(0.25)  # "trained": no longer what the first folder holds
    encoder.save(tmp_path / "model")
    again = Encoder(**Encoder.saved_options(tmp_path / "model", options))
    first, second = features(encoder, texts), features(again, texts)
    assert all(torch.equal(first[port], second[port]) for port in first)
    assert not list((tmp_path / "model").glob("*.bin"))


def test_the_length_that_was_found_travels_with_the_saved_weights(tmp_path: Path) -> None:
    encoder = Encoder()
    encoder.save(tmp_path)
    again = Encoder(weights=str(tmp_path))
    assert encoder.max_tokens == again.max_tokens == 256
    assert again.card.licence == "apache-2.0"


def test_random_weights_follow_the_global_seed_and_leave_nothing_pretrained(tiny: Tiny, tmp_path: Path) -> None:
    folder = tiny("bert")  # which draws random numbers where it is made first
    weights: list[torch.Tensor] = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        encoder = Encoder(weights=str(folder), pretrained=False)
        weights.append(encoder.network.embeddings.word_embeddings.weight.detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert encoder.card.source.startswith("none")
    assert encoder.card.sha256 == ""
    encoder.save(tmp_path)
    again = Encoder(**Encoder.saved_options(tmp_path, {"pretrained": False}))
    assert torch.equal(again.network.embeddings.word_embeddings.weight, weights[2])


def test_default_weights_know_that_a_paraphrase_is_nearer_than_another_subject() -> None:
    encoder = Encoder()
    pooled = features(encoder, ["A gripping film.", "The movie kept me on the edge of my seat.", "Interest rates fell again."])[
        "pooled"
    ]
    near, far = (torch.cosine_similarity(pooled[0], pooled[i], dim=0).item() for i in (1, 2))
    assert near > far + 0.2
    assert encoder.card.licence == "apache-2.0"
    assert encoder.card.sha256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert encoder.card.expects == "lower-cased text, up to 256 tokens"


def test_there_is_no_pooler_so_that_every_parameter_gets_a_gradient(tiny: Tiny, texts: tuple[str, ...], family: str) -> None:
    encoder = Encoder(weights=str(tiny(family))).train()
    encoder(encoder.prepare(texts))["tokens"].square().sum().backward()
    without = [name for name, weight in encoder.network.named_parameters() if weight.grad is None]
    assert without == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 65}, "have 64 positions; write at most 64"),
        ({"max_tokens": 2}, "2 special tokens go with each text; write 3 or more"),
        ({"stride": 4}, "write long: windows"),
        ({"stride": 0, "long": "windows"}, "from 1 to 62"),
        ({"stride": 63, "long": "windows"}, "from 1 to 62"),
    ],
)
def test_impossible_lengths_are_refused_with_what_is_possible(tiny: Tiny, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Encoder(weights=str(tiny("bert")), **options)  # type: ignore[arg-type]  # parametrised options


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.gpu
def test_on_a_gpu_it_gives_what_it_gives_on_the_cpu(tiny: Tiny, texts: tuple[str, ...]) -> None:
    encoder = Encoder(weights=str(tiny("bert")), long="windows", max_tokens=8).eval()
    batch, on_cpu = encoder.prepare(texts), features(encoder, texts)
    with torch.no_grad():
        on_gpu = encoder.cuda()({key: value.cuda() for key, value in batch.items()})
    torch.testing.assert_close(on_gpu["pooled"].cpu(), on_cpu["pooled"], atol=1e-4, rtol=0)


def test_default_weights_load_without_asking_the_network() -> None:
    code = (
        "import socket\n"
        "def refuse(*args, **kwargs): raise SystemExit(f'the network was asked: {args}')\n"
        "socket.getaddrinfo = socket.create_connection = refuse\n"
        "from headstart_nlp.encoder import Encoder\n"
        "Encoder()"
    )
    environment = {name: value for name, value in os.environ.items() if name not in {"HF_HUB_OFFLINE", "HEADSTART_OFFLINE"}}
    finished = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_offering_the_encoder_imports_no_torch_and_no_transformers() -> None:
    code = (
        "import sys, headstart_nlp.plugin as plugin; list(plugin.headstart_backbones()); "
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
