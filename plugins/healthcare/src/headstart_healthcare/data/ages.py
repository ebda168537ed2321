"""Ages as bands: a year of birth tells who somebody is, and a subgroup of one age is too small."""

from __future__ import annotations

_BANDS = ((18, "under 18"), (40, "18-39"), (60, "40-59"), (80, "60-79"))
_OLDEST = "80 and over"
_LIMIT = 130  # years; above, it is no age


def age_band(text: str) -> str:
    """The band of an age in years; a DICOM age string such as 063Y counts too; "" = it is none."""
    number = text.strip().upper()
    if number[-1:] in {"M", "W", "D"}:
        return _BANDS[0][1] if number[:-1].isdigit() else ""
    try:
        years = float(number.removesuffix("Y"))
    except ValueError:
        return ""
    return next((name for below, name in _BANDS if years < below), _OLDEST) if 0 <= years < 130 else ""
