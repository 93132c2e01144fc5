"""The JSON line of an image that failed."""

from pathlib import Path
from typing import Literal

import msgspec

from fs_runtime.cli.run import exit_code
from fs_runtime.cli.terminal import encodable
from fs_runtime.report.results import ERROR_SCHEMA


class ErrorLine(msgspec.Struct, frozen=True):
    """An image that failed, of ``certify`` and ``smooth`` among others.

    Attributes:
        schema: name and version of this format.
        image: its path.
        error: why, in one sentence with the remedy.
        exit_code: what the command would end with for this image alone.
    """

    schema: Literal["fs-runtime/error/1"]
    image: str
    error: str
    exit_code: int


def error_line(image: Path, error: Exception) -> str:
    """One JSON line for an image that failed."""
    line = ErrorLine(ERROR_SCHEMA, encodable(str(image)), encodable(str(error)), exit_code(error))
    return msgspec.json.encode(line).decode()
