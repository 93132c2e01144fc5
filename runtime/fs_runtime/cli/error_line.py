"""The JSON line of an image that failed."""

from pathlib import Path

import msgspec

from fs_runtime.cli.run import exit_code
from fs_runtime.cli.terminal import encodable
from fs_runtime.report.results import ERROR_SCHEMA


def error_line(image: Path, error: Exception) -> str:
    """One JSON line for an image that failed."""
    line = {
        "schema": ERROR_SCHEMA,
        "image": encodable(str(image)),
        "error": encodable(str(error)),
        "exit_code": exit_code(error),
    }
    return msgspec.json.encode(line).decode()
