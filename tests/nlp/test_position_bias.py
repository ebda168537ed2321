"""T5's table of positions: worked out by each block, equal to transformers' own to the bit, with the same gradients."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from transformers import MT5Config, MT5EncoderModel, T5Config, T5EncoderModel, UMT5Config, UMT5EncoderModel

from headstart_nlp.position_bias import own_biases

SHAPE = {"vocab_size": 50, "d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 3, "num_heads": 2, "dropout_rate": 0.0}
BIAS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
IDS = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 10, 1, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])

KINDS = {
    "t5": lambda: T5EncoderModel(T5Config(**SHAPE)),
    "flan": lambda: T5EncoderModel(T5Config(**SHAPE, feed_forward_proj="gated-gelu", tie_word_embeddings=False)),
    "mt5": lambda: MT5EncoderModel(MT5Config(**SHAPE)),
}


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The network as transformers has it, and as headstart uses it."""
    torch.manual_seed(0)
    plain = KINDS[request.param]().eval()
    ours = copy.deepcopy(plain)
    own_biases(ours)
    return plain, ours


def out(network: torch.nn.Module) -> torch.Tensor:
    return network(input_ids=IDS, attention_mask=MASK).last_hidden_state


def test_values_are_the_same_to_the_bit_and_names_too(pair, tmp_path: Path) -> None:
    plain, ours = pair
    assert torch.equal(out(plain), out(ours))
    assert list(plain.state_dict()) == list(ours.state_dict())
    assert [name for name, _ in ours.named_parameters() if "relative" in name] == [BIAS]
    ours.save_pretrained(tmp_path)
    assert torch.equal(out(type(plain).from_pretrained(tmp_path).eval()), out(ours))


def test_the_embedding_learns_from_every_block_as_in_transformers(pair) -> None:
    for network in pair:
        out(network).square().sum().backward()
    gradients = [dict(network.named_parameters())[BIAS].grad for network in pair]
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))], ids=["copy", "pickle"])
def test_a_copy_asks_its_own_embedding(pair, copied) -> None:
    _, ours = pair
    before, other = out(ours), copied(ours)
    with torch.no_grad():
        dict(other.named_parameters())[BIAS].mul_(-3)
    assert torch.equal(out(ours), before) and not torch.equal(out(other), before)
    shared = {id(block.layer[0].SelfAttention.relative_attention_bias) for block in other.encoder.block}
    assert len(shared) == 1


def test_frozen_first_block_and_later_blocks_that_train_give_transformers_gradients(pair) -> None:
    for network in pair:
        for name, weight in network.named_parameters():
            weight.requires_grad_("block.2" in name)
        out(network).square().sum().backward()
    plain, ours = (dict(network.named_parameters()) for network in pair)
    assert ours[BIAS].grad is None
    trained = [name for name, weight in ours.items() if weight.requires_grad]
    assert trained and all(torch.equal(ours[name].grad, plain[name].grad) for name in trained)


def test_a_bias_that_is_named_is_left_out_too(pair) -> None:
    plain, ours = pair
    hidden, strange = torch.randn(2, 5, 32), torch.full((1, 2, 5, 5), 9.0)
    first = plain.encoder.block[0](hidden, None, None)
    found = ours.encoder.block[1](hidden, None, position_bias=strange)
    assert found[1] is None
    torch.testing.assert_close(found[0], plain.encoder.block[1](hidden, None, first[1])[0], rtol=0, atol=0)


def test_a_network_whose_blocks_have_tables_of_their_own_stays_as_it_is() -> None:
    torch.manual_seed(0)
    network = UMT5EncoderModel(UMT5Config(**SHAPE)).eval()
    before = out(network)
    own_biases(network)
    assert torch.equal(out(network), before) and not any(block._forward_hooks for block in network.encoder.block)
