"""Folders of small pictures: smooth seeded colours, for calibrating."""

from pathlib import Path

import numpy as np
from PIL import Image


def save(folder: Path, count: int) -> Path:
    """Write ``count`` pictures."""
    folder.mkdir(parents=True)
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((40, 40), Image.Resampling.BICUBIC).save(folder / f"{number:03}.png")
    return folder
