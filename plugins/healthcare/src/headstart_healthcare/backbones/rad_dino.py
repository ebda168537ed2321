"""RAD-DINO: a vision transformer trained on chest X-rays without labels; Perez-Garcia et al. 2024."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from safetensors import SafetensorError
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model

from headstart.errors import UsageError, WeightsError
from headstart.features import Features
from headstart.files import write_json
from headstart.foreign_code import without_foreign_code
from headstart.place import Place
from headstart.stages import Stage
from headstart_healthcare.backbones import local_weights
from headstart_healthcare.backbones.local_weights import find_local
from headstart_vision.backbones.picture_backbone import PictureBackbone
from headstart_vision.expectation import Expectation, check_size
from headstart_vision.variants import EXPECTS_FILE, Found, saved_expectation

LICENCE = "MSRLA (Microsoft Research Licence Agreement: research only)"
TRAINED_ON = "882 775 chest X-rays without labels (RAD-DINO, Perez-Garcia et al. 2024)"
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
RESAMPLING = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # PIL's numbers, as transformers writes them
USUAL = Expectation(size=518, resize=518, interpolation="bicubic", mean=(0.5,) * 3, std=(0.25,) * 3)


class RadDino(PictureBackbone):
    """RAD-DINO, or another DINOv2 network in a folder of transformers' layout; a grey picture is read as three equal channels.

    "pooled" is the class token behind the last normalisation, "map" the patches, laid out as they lie in the picture.

    Args:
        weights: The folder with config.json, model.safetensors and preprocessor_config.json; "none" = random weights.
            Published at https://huggingface.co/microsoft/rad-dino.
        sha256: Of its model.safetensors, or the first digits of it; "" = not checked.
        size: Side of the square that the network sees, in pixels, a multiple of its patches' 14; null = what it was trained
            on (518). Positions are interpolated; 224 costs about a seventh.
    """

    port_names: ClassVar[tuple[str, ...]] = ("pooled", "map", "map.1", "map.2", "map.3", "map.4")
    network: Any  # a Dinov2Model

    def __init__(self, *, weights: Place, sha256: str = "", size: int | None = None) -> None:
        super().__init__()
        file, card = find_local(weights, sha256, licence=LICENCE, trained_on=TRAINED_ON)
        config: Any = Dinov2Config(image_size=USUAL.size, patch_size=14) if file is None else _config(file.with_name(CONFIG))
        if config.num_channels != 3:
            raise UsageError(f"the network in {weights} reads {config.num_channels} channels; only those of 3 are known here")
        check_size(size, config.patch_size, "this network", multiple=config.patch_size)
        config.use_mask_token = False  # for training by masking alone; here it would be a weight that nothing reads
        self.network = Dinov2Model(config) if file is None else _loaded(file.parent, config)
        expects = USUAL if file is None else saved_expectation(file) or _expectation(file.with_name(PREPROCESSOR))
        self._settle(Found(file, expects, card), None, expects if size is None else expects.sized(size), 3, ())
        self.stages = _stages(config.num_hidden_layers)
        self.ports = {"pooled": config.hidden_size, "map": config.hidden_size}
        self._find_maps(self.colours.size, 3)

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """Pixels [B, 3, S, S] -> pooled [B, C] and maps [B, C, S / 14, S / 14]."""
        with self._tapping() as seen:
            tokens = self.network(batch["pixels"]).last_hidden_state
        return {"pooled": tokens[:, 0], **self._maps(_laid_out(tokens), seen)}

    def save(self, folder: Path) -> None:
        """Write the network as safetensors, its shape and what it expects as JSON."""
        self.network.save_pretrained(folder)
        write_json(folder / EXPECTS_FILE, self.colours.as_json())

    @classmethod
    def saved_options(cls, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
        """The saved network, which the run's manifest vouches for."""
        return local_weights.saved_options(folder, options)

    def _as_map(self, value: Any) -> Tensor | None:
        return _laid_out(value) if value.ndim == 3 and value.shape[1] > 1 else None


def _laid_out(tokens: Tensor) -> Tensor:
    """Tokens [B, 1 + h * w, C], the class token first -> [B, C, h, w]."""
    side = math.isqrt(tokens.shape[1] - 1)
    return tokens[:, 1:].transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], side, side)


def _stages(layers: int) -> tuple[Stage, ...]:
    return (
        Stage("embeddings", ("embeddings",)),
        *(Stage(f"layer.{at}", (f"encoder.layer.{at}",)) for at in range(layers)),
        Stage("norm", ("layernorm",)),
    )


def _loaded(folder: Path, config: Any) -> Any:
    """The network with the weights of a folder; transformers knows under which names its versions have written them."""
    load: Any = Dinov2Model.from_pretrained  # its type does not know that it can also return what it met
    try:
        network, facts = load(folder, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True)
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise WeightsError(f"weights: {folder} cannot be read ({str(error).splitlines()[0]})") from error
    missing = [str(name) for name in facts["missing_keys"]]
    if missing:
        raise WeightsError(f"weights: {folder} lacks {len(missing)} tensors of its network, {min(missing)} first")
    return network


def _config(file: Path) -> Dinov2Config:
    content = _read(file)
    if content.get("model_type") != "dinov2":
        raise WeightsError(f"weights: {file} describes a {content.get('model_type')}, not a dinov2 network such as RAD-DINO")
    return Dinov2Config.from_dict(without_foreign_code(content, file))


def _expectation(file: Path) -> Expectation:
    """What transformers' BitImageProcessor would do with these settings."""
    content = _read(file)
    try:
        return replace(
            USUAL,
            size=int(content["crop_size"]["height"]),
            resize=int(content["size"]["shortest_edge"]),
            interpolation=RESAMPLING[int(content["resample"])],
            mean=tuple(float(value) for value in content["image_mean"]),
            std=tuple(float(value) for value in content["image_std"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"weights: {file} does not say how pictures are made ready ({error!r})") from error


def _read(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return content
    except (OSError, ValueError) as error:
        raise WeightsError(f"weights: {file} is missing or no JSON; the folder needs it beside model.safetensors") from error
