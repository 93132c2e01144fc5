"""Opening a bundle for a command, which says where it runs when that is not plain from the flags."""

from pathlib import Path
from typing import Any

from fs_runtime import encoder
from fs_runtime.cli.terminal import messages


def load(bundle: Path, **opening: Any) -> encoder.SmoothedEncoder:
    """:func:`fs_runtime.load`, with a line on stderr where a GPU was asked for."""
    opened = encoder.load(bundle, **opening)
    if opening.get("device", "cpu") != "cpu":
        info = opened.backend.info
        line = f"runs on {info.name} {info.version}, {info.device}"
        messages().print(line, style="dim", markup=False, highlight=False, soft_wrap=True)
    return opened
