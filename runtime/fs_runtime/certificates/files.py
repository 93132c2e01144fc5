"""Files of certificates: JSON, with a large reference feature beside it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from fs_runtime.errors import InputError
from fs_runtime.files import write_together

# Line ends of Unicode that JSON leaves as they are in strings, and that some readers of lines split at.
_LINE_ENDS = str.maketrans({end: f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"})


def one_line(encoded: bytes) -> str:
    """JSON as text that every reader takes for one line, whatever names are in it."""
    return encoded.decode().translate(_LINE_ENDS)


def certificate_text(path: Path, command: str) -> str:
    """What a file holds that ``command`` is said to have written.

    Raises:
        InputError: the file is missing or no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read as a certificate ({error}): name a file that {command} wrote"
        ) from error


def write_certificate(
    path: str | Path, json_beside: Callable[[str | None], str], large_reference: npt.NDArray[np.float64] | None
) -> None:
    """Write the JSON to ``path``, and a large reference feature to ``path``.safetensors; both appear or neither.

    Args:
        path: of the JSON.
        json_beside: the JSON, given the name of the file that the reference is in, or None.
        large_reference: [D], where the JSON does not hold it.

    Raises:
        OSError: a file cannot be written; nothing is left half-written.
    """
    path = Path(path)
    if large_reference is None:
        write_together({path: f"{json_beside(None)}\n".encode()})
        return
    beside = path.with_name(path.name + ".safetensors")
    features = safetensors.numpy.save({"reference": large_reference})
    write_together({beside: features, path: f"{json_beside(beside.name)}\n".encode()})
