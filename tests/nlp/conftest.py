"""Tiny networks of each family in the official folder format, written once per session by transformers itself."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is first imported: no test may reach the network

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

TEXTS = (
    "the film is a slow burn that pays off in the end",
    "a dull and lifeless story with no heart at all",
    "what a joy to watch , funny and warm from start to end",
    "the story of a man who lost the plot and never found it again",
)
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": SIZES,
    "roberta": {**SIZES, "pad_token_id": 1},
    "xlm-roberta": {**SIZES, "pad_token_id": 1},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "max_position_embeddings": 64},
    "electra": {**SIZES, "embedding_size": 16},
    "mpnet": {**SIZES, "pad_token_id": 1},
    "albert": {**SIZES, "embedding_size": 16, "num_hidden_layers": 3},
    "deberta": {**SIZES, "relative_attention": True, "pos_att_type": "c2p|p2c", "max_relative_positions": 32},
    "deberta-v2": {
        **SIZES,
        "relative_attention": True,
        "pos_att_type": "c2p|p2c",
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "conv_kernel_size": 3,
        "position_biased_input": False,
    },
    "modernbert": {**SIZES, "local_attention": 16},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "llama": {**SIZES, "num_key_value_heads": 2},
    "t5": {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2},
    "bart": {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "max_position_embeddings": 64,
    },
}
DECODERS = ("gpt2", "llama")
PADS = {"roberta": 1, "xlm-roberta": 1, "mpnet": 1}
SPECIALS = ("<pad>", "<cls>", "<sep>", "<unk>", "<mask>")


@pytest.fixture(scope="session")
def texts() -> tuple[str, ...]:
    """Four short texts of different lengths whose words the tiny tokenizers know."""
    return TEXTS


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny network of one family."""
    root = tmp_path_factory.mktemp("weights")

    def folder(family: str) -> Path:
        path = root / family
        if not path.exists():
            write_tiny(path, family)
        return path

    return folder


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """Each family in turn."""
    return str(request.param)


def write_tiny(path: Path, family: str) -> None:
    """Random weights of one family, saved as a publisher saves them, with a tokenizer."""
    from transformers import AutoConfig, AutoModel

    tokenizer = _word_tokenizer(family)
    ids = {"pad_token_id": PADS.get(family, 0), "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    config = AutoConfig.for_model(family, vocab_size=len(tokenizer), **{**ids, **FAMILIES[family]})
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(path)
    tokenizer.save_pretrained(path)


def _word_tokenizer(family: str) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for text in TEXTS for word in text.split()} | {f"w{i}" for i in range(120)})
    order = SPECIALS if PADS.get(family, 0) == 0 else ("<cls>", "<pad>", "<sep>", "<unk>", "<mask>")
    vocabulary = {token: i for i, token in enumerate((*order, *words))}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {"unk_token": "<unk>", "eos_token": "<sep>", "model_max_length": 64}
    if family not in DECODERS:
        specials = [("<cls>", vocabulary["<cls>"]), ("<sep>", vocabulary["<sep>"])]
        inner.post_processor = processors.TemplateProcessing(single="<cls> $A <sep>", special_tokens=specials)
        names |= {"pad_token": "<pad>", "cls_token": "<cls>", "sep_token": "<sep>", "mask_token": "<mask>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **names)
