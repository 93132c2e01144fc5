"""Pictures to measure with where no photo is given."""

import numpy as np
import numpy.typing as npt
from PIL import Image

_COARSE = 6


def picture(height: int, width: int, seed: int) -> npt.NDArray[np.uint8]:
    """Smooth random colours, uint8 [height, width, 3]; the same for the same seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (_COARSE, _COARSE, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
