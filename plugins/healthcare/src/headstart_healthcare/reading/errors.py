"""Reading errors: a file that cannot be read right has a reason code, and no message holds what stands in the file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from headstart.errors import DataError

REASONS = {
    "missing-file": "there is no such file",
    "empty": "the file is empty",
    "too-large": "it is larger than the limit",
    "truncated": "the file ends before its pixels do",
    "not-dicom": "it is no DICOM file",
    "not-image": "it is no picture of a known form",
    "not-nifti": "it is no NIfTI file",
    "broken": "it cannot be decoded",
    "no-pixels": "the DICOM object holds no picture",
    "pixel-header": "the header does not describe the pixels soundly",
    "transfer-syntax": "no installed package decodes its transfer syntax",
    "colour": "it is in colour where grey is read",
    "multi-frame": "it holds several frames where one is read",
    "rescale": "its rescale values are no numbers that can be used",
    "no-position": "its slices have no position",
    "one-slice": "there is one slice where a volume is read",
    "duplicate-slice": "two slices lie at one position",
    "gap": "the slices are not evenly spaced",
    "tilt": "the slices are not stacked along their normal",
    "mixed-shape": "its slices differ in size",
    "mixed-orientation": "its slices differ in orientation",
    "mixed-spacing": "its slices differ in pixel spacing",
    "mixed-intensity": "its slices differ in how their values are meant",
    "no-orientation": "it does not state which way its axes grow (sform and qform codes are 0)",
    "spacing": "its spacing is zero, negative or no number",
    "four-dimensional": "it has a time axis where one volume is read",
    "not-finite": "it holds NaN or infinite values",
    "constant": "all its values are equal",
    "outside": "its path leads out of the data's folder",
    "no-patient": "no patient can be told from it",
    "series": "its folder holds no series, or several",
}
"""Reason code -> what it means."""

FIXES = {
    "truncated": "copy it again from its source",
    "empty": "copy it again from its source",
    "transfer-syntax": "pip install 'headstart-healthcare[codecs]'",
    "colour": "write colour: grey to read its brightness",
    "multi-frame": "write frames: each or frames: middle in healthcare/dicom, or read it with healthcare/volumes",
    "no-position": "export it again with ImagePositionPatient and ImageOrientationPatient",
    "one-slice": "read single slices with healthcare/images or healthcare/dicom",
    "four-dimensional": "write time: 0 to read one time point",
    "gap": "find the missing slices, or leave the volume out",
    "duplicate-slice": "leave one of the copies out",
    "series": "give each series a folder of its own",
    "tilt": "resample it to straight slices first",
    "spacing": "correct the header, or leave the volume out",
    "no-orientation": "correct the header, or write orientation: stored where all files lie alike",
    "too-large": "raise the limit (max_pixels, max_voxels) if it is meant",
    "outside": "move the file below the data's folder, or name that folder with root",
    "no-patient": "complete the column, the rule or the tag",
    "missing-file": "correct the path in the table, or put the file there",
    "not-dicom": "give it the suffix of what it is, or leave it out",
    "not-image": "export it again as PNG, JPEG, TIFF or DICOM, or leave it out",
    "not-nifti": "export it again as .nii or .nii.gz, or leave it out",
    "broken": "copy or export it again, or leave it out",
    "no-pixels": "leave reports, plans and directories out of the folder",
    "pixel-header": "export it again; Rows, Columns and the bits have to fit the pixels",
    "rescale": "correct RescaleSlope and RescaleIntercept at the source",
    "mixed-shape": "give each acquisition a folder of its own",
    "mixed-orientation": "give each acquisition a folder of its own",
    "mixed-spacing": "give each acquisition a folder of its own",
    "mixed-intensity": "give each acquisition a folder of its own",
    "not-finite": "replace NaN and infinite values at the source, or leave it out",
    "constant": "leave it out: nothing is to be seen in it",
}
"""Reason code -> what to do; every reason has something."""

T = TypeVar("T")


class ReadingError(DataError):
    """A file that cannot be read right. Exit code 3.

    Attributes:
        reason: A key of `REASONS`.
        detail: Numbers and names of the standard, never what stands in a patient's tags.
    """

    def __init__(self, reason: str, detail: str = "", *, name: str = "") -> None:
        self.reason, self.detail = reason, detail
        told = REASONS[reason] + (f" ({detail})" if detail else "") + f" [{reason}]"
        told += f"; {FIXES[reason]}"
        super().__init__(f"{name}: {told}" if name else told)

    def named(self, name: str) -> ReadingError:
        """The same about the file with this pseudonym."""
        return ReadingError(self.reason, self.detail, name=name)


def reading(name: str, read: Callable[[], T], otherwise: str = "broken") -> T:
    """What `read` returns; whatever a broken file makes libraries raise becomes an error without its text.

    The libraries' own messages quote tags and paths, so they go no further, not even as a cause.

    Raises:
        ReadingError: Named with the pseudonym.
    """
    try:
        return read()
    except ReadingError as error:
        raise error.named(name) from None
    except FileNotFoundError:
        raise ReadingError("missing-file", name=name) from None
    except MemoryError:
        raise ReadingError("too-large", "there is not enough memory", name=name) from None
    except Exception as error:  # decoders raise dozens of kinds on broken files, none of them documented
        raise ReadingError(otherwise, type(error).__name__, name=name) from None
