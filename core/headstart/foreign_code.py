"""Settings that come with weights, without the keys by which transformers would bring in code that came with them.

`auto_map` names Python files of the folder or of another repository; `attn_implementation` and its like may name kernels of the
hub (CVE-2026-4372 took that way through an underscored key, which are transformers' internals).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

KEYS = ("auto_map", "custom_pipelines", "trust_remote_code", "use_kernels", "kernel_config")
ENDING = "_implementation"  # of attention, of experts, of whatever comes next
HARMLESS = ("_name_or_path",)  # where the weights once lay: left out as well, and not worth a word


def without_foreign_code(content: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """What `config.json` holds, also of networks within the network, without such keys; a warning names those left out."""
    if suspect := sorted(set(_suspect(content))):
        warnings.warn(f"{file}: ignored {', '.join(suspect)}; no foreign code is run", stacklevel=2)
    cleaned: dict[str, Any] = _cleaned(content)
    return cleaned


def _is_suspect(key: object) -> bool:
    return isinstance(key, str) and (key in KEYS or key.endswith(ENDING) or key.startswith("_"))


def _suspect(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (key for key in value if _is_suspect(key) and key not in HARMLESS)
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _suspect(part)


def _cleaned(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _cleaned(part) for key, part in value.items() if not _is_suspect(key)}
    return [_cleaned(part) for part in value] if isinstance(value, list) else value
