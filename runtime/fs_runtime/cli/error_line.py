"""The JSON line of an image that failed."""

from pathlib import Path
from typing import Literal

import msgspec

from fs_runtime.cli.run import exit_code, in_flags
from fs_runtime.cli.terminal import encodable
from fs_runtime.report.results import ERROR_SCHEMA, SpentDraws


class ErrorLine(msgspec.Struct, frozen=True):
    """An image that failed, of ``certify`` and ``smooth`` among others.

    Attributes:
        schema: name and version of this format.
        image: its path.
        error: why, in one sentence with the remedy.
        exit_code: what the command would end with for this image alone.
        spent: the draws that were made for it and refused, as those whose features are no numbers: its alpha is spent,
            so ``--resume`` does not draw for it again. None where it failed before any draw.
    """

    schema: Literal["fs-runtime/error/1"]
    image: str
    error: str
    exit_code: int
    spent: SpentDraws | None


def error_line(image: Path, error: Exception, spent: SpentDraws | None = None) -> str:
    """One JSON line for an image that failed, maybe after draws that are ``spent``."""
    line = ErrorLine(ERROR_SCHEMA, encodable(str(image)), encodable(in_flags(error)), exit_code(error), spent)
    return msgspec.json.encode(line).decode()
