"""Networks: the encoder that a folder's config.json describes, with its weights or with random ones; its code is never run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch
from torch import nn

from headstart.errors import WeightsError
from headstart.foreign_code import without_foreign_code
from headstart_nlp.position_bias import own_biases
from headstart_nlp.weights import WeightsFolder


def load_network(folder: WeightsFolder, *, pretrained: bool) -> Any:
    """The folder's encoder in float32, without pooler or task head; random weights follow torch's global seed.

    Raises:
        WeightsError: transformers does not know the architecture, or file and config.json do not fit together.
    """
    from transformers import MODEL_MAPPING

    config = read_config(folder)
    network_class = _encoder_class(config, folder)
    options: dict[str, Any] = {"add_pooling_layer": False} if _takes(network_class, "add_pooling_layer") else {}
    config.use_cache = False  # decoders would otherwise keep keys and values that nobody reads
    is_whole = bool(config.is_encoder_decoder) and network_class is _first(MODEL_MAPPING.get(type(config), None))
    made = _with_weights(network_class, config, folder, options) if pretrained else network_class(config, **options).float()
    encoder = made.get_encoder() if is_whole else made
    own_biases(encoder)
    return encoder


def read_config(folder: WeightsFolder) -> Any:
    """The folder's config without the keys that could bring in foreign code or kernels.

    Raises:
        WeightsError: The file is no config or names an architecture that transformers does not have.
    """
    from transformers import CONFIG_MAPPING, __version__

    content = folder.json("config.json")
    kind = content.pop("model_type", None)
    if kind not in CONFIG_MAPPING:
        raise WeightsError(
            f"{folder.path / 'config.json'}: model_type is {kind!r}, which transformers {__version__} does not have; "
            "headstart never runs code that comes with weights, so use a model of a built-in architecture"
        )
    try:
        return CONFIG_MAPPING[kind].from_dict(without_foreign_code(content, folder.path / "config.json"))
    except Exception as error:  # each architecture validates in its own way
        raise WeightsError(f"{folder.path / 'config.json'} does not describe a '{kind}' network: {error}") from error


def _encoder_class(config: Any, folder: WeightsFolder) -> Any:
    """The architecture's encoder: of a T5 that half, whether the config stands for the whole or for the half.

    A BART has no class that loads its encoder out of the whole; so it is loaded whole, unless the folder holds the half that
    a run saved.
    """
    from transformers import MODEL_FOR_TEXT_ENCODING_MAPPING, MODEL_MAPPING

    found = _first(MODEL_FOR_TEXT_ENCODING_MAPPING.get(type(config), None))
    whole = _first(MODEL_MAPPING.get(type(config), None))
    if found is None and whole is not None and config.is_encoder_decoder:
        half = _half(whole, config)
        is_half = half is not None and [half.__name__] == folder.json("config.json").get("architectures")
        found = half if is_half or half is None else whole
    elif found is None:
        found = whole
    if found is None:
        raise WeightsError(
            f"{folder.path}: of the architecture '{config.model_type}' transformers has no encoder that stands alone; "
            "take a BERT-like model, a T5, a BART or a decoder such as GPT-2"
        )
    return found


def _half(whole: Any, config: Any) -> Any:
    """Class of the encoder within an encoder-decoder network for texts; None where it has none that loads by itself."""
    try:
        with torch.device("meta"):
            encoder = whole(config).get_encoder()
    except Exception:  # each architecture fails in its own way
        return None
    return type(encoder) if hasattr(encoder, "save_pretrained") and encoder.main_input_name == "input_ids" else None


def _first(found: Any) -> Any:
    return found[0] if isinstance(found, Sequence) else found


def _takes(network_class: Any, option: str) -> bool:
    return option in signature(network_class.__init__).parameters


def _with_weights(network_class: Any, config: Any, folder: WeightsFolder, options: Mapping[str, Any]) -> Any:
    if not folder.files:
        raise WeightsError(f"{folder.path} holds no weights (model.safetensors); copy them there, or set pretrained: false")
    try:
        with quietly():
            network, report = network_class.from_pretrained(
                str(folder.path),
                config=config,
                dtype=torch.float32,
                use_safetensors=folder.has_safetensors,
                weights_only=True,
                local_files_only=True,
                output_loading_info=True,
                **options,
            )
    except Exception as error:  # truncated files, wrong shapes and foreign formats all raise differently
        raise WeightsError(f"the weights in {folder.path} cannot be loaded into a {network_class.__name__}: {error}") from error
    _check_fit(network, report, folder)
    return network


@contextmanager
def quietly() -> Iterator[None]:
    """Without transformers' bar and table: what they would say of missing and surplus tensors is judged by `_check_fit`."""
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


def _check_fit(network: nn.Module, report: Mapping[str, Any], folder: WeightsFolder) -> None:
    missing = sorted(report["missing_keys"])
    surplus = _surplus(network, report["unexpected_keys"])
    if missing or surplus:
        examples = ", ".join([*missing[:2], *surplus[:2]])
        raise WeightsError(
            f"the weights in {folder.path} do not fit its config.json: {len(missing)} tensors of the {type(network).__name__} "
            f"are missing and {len(surplus)} are too many ({examples}); take both files from the same model"
        )


def _surplus(network: nn.Module, unexpected: Sequence[str]) -> list[str]:
    """Unexpected tensors inside the network's own parts. Task heads and poolers lie beside them and may be left behind."""
    parts = {name for name, _ in network.named_children()}
    buffers = {name for name, _ in network.named_buffers()}  # position_ids was saved by older versions
    prefix = f"{getattr(network, 'base_model_prefix', '')}."
    inner = {key: key.removeprefix(prefix) for key in unexpected}
    return sorted(key for key, name in inner.items() if name.split(".")[0] in parts and name not in buffers)
