"""Networks: the encoder that a folder's config.json describes, and its stages; code that lies in the folder is never run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from headstart import Stage, WeightsFile, errors, find_stages
from torch import nn

from headstart_protein.weights import config_of

ARCHITECTURES = ("bert", "esm", "roberta", "roformer", "electra")
"""Those of transformers with `embeddings` and `encoder.layer`: ProtBert, AntiBERTy, IgBert; ESM-1b and ESM-2; AntiBERTa ..."""


def load_network(weights: WeightsFile, *, pretrained: bool) -> Any:
    """The encoder in float32, without pooler or task head; random weights follow torch's global seed.

    Raises:
        WeightsError: The architecture is another one, or file and config.json do not fit together.
    """
    import transformers

    AutoModel: Any = transformers.AutoModel  # noqa: N806 - its methods carry no types
    config = _config(weights)
    if not pretrained:
        return _bare(AutoModel.from_config(config).float())
    try:
        with quietly():
            network, report = AutoModel.from_pretrained(
                str(weights.path.parent),
                config=config,
                dtype=torch.float32,
                use_safetensors=weights.path.suffix == ".safetensors",
                weights_only=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:  # truncated files, wrong shapes and foreign formats all raise differently
        raise errors.WeightsError(f"{weights.path} cannot be loaded as the network of its config.json: {error}") from error
    missing = [name for name in report["missing_keys"] if not name.startswith(UNUSED)]
    if missing:
        raise errors.WeightsError(f"{weights.path} lacks {len(missing)} tensors of its config.json's network: {missing[0]} ...")
    return _bare(network)


UNUSED = ("pooler", "contact_head")
"""Parts that read the last layer for purposes of their own; no port comes from them, so no stage could own them."""


@contextmanager
def quietly() -> Iterator[None]:
    """Without transformers' bars and tables; what they would say of missing tensors is an error here."""
    import transformers

    logging: Any = transformers.utils.logging  # its functions carry no types
    verbosity, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bar:
            logging.enable_progress_bar()


def _bare(network: Any) -> Any:
    for name in UNUSED:
        if getattr(network, name, None) is not None:
            setattr(network, name, None)
    return network


def _config(weights: WeightsFile) -> Any:
    from transformers import CONFIG_MAPPING

    content = config_of(weights)
    kind = content.pop("model_type", None)
    if kind not in ARCHITECTURES:
        raise errors.WeightsError(
            f"{weights.path.parent / 'config.json'}: model_type is {kind!r}; known here: {', '.join(ARCHITECTURES)}; "
            "code that comes with weights is never run"
        )
    foreign = ("auto_map", "attn_implementation", "experts_implementation")  # may name code and kernels of a hub
    plain = {key: value for key, value in content.items() if key not in foreign and not key.startswith("_")}
    return CONFIG_MAPPING[kind].from_dict({**plain, "use_cache": False})


def stages_of(network: nn.Module) -> tuple[Stage, ...]:
    """Stages "embeddings", "layer.0" ... "layer.N-1" and, in ESM-2, the norm behind them, as three tokens meet them.

    Tensors that every layer reads (angles of rotary positions) are loose ones of the first stage.
    """
    return find_stages(network, lambda: network(input_ids=torch.zeros(1, 3, dtype=torch.long)))
