"""What the purifier makes of noisy pixels, and what that does to the feature: one noisy copy of each photo."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fs_exporters.graph import smoothed_graph
from fs_models.encoders import EncoderAdapter
from fs_models.gsb import Booster, no_booster
from fs_runtime.noise import GridNoise, Stream
from fs_runtime.preprocess import PreparedImage

Pixels = npt.NDArray[np.uint8]
_ILLUSTRATION_SEED = 0
_INK, _QUIET = "#1b1f24", "#57606a"
_SIDE, _DPI = 2.1, 100


@dataclass(frozen=True, eq=False)
class Denoised:
    """One photo, one noisy copy of it, and what the purifier makes of that; uint8 [H, W, 3], clipped to [0, 1].

    The noise is an illustration, the same for every photo and that of no certificate.

    Attributes:
        name: of the photo.
        clean: the photo as the graph receives it.
        noisy: the copy.
        purified: the copy behind the purifier.
        bare_cosine: of the bare encoder's feature of the copy to the clean feature.
        boosted_cosine: of the booster's, purifier and mapper together.
    """

    name: str
    clean: Pixels
    noisy: Pixels
    purified: Pixels
    bare_cosine: float
    boosted_cosine: float


@torch.inference_mode()
def denoise(encoder: EncoderAdapter, booster: Booster, image: PreparedImage, *, sigma: float, name: str) -> Denoised:
    """Show a booster at work on one noisy copy.

    Args:
        encoder: that the booster is for, on the CPU.
        booster: at ``sigma``.
        image: as the graph receives it.
        sigma: of the noise, over [0, 1] pixels.
        name: of the photo.
    """
    values = image.pixel_values
    noise = np.empty(values.size, np.float32)
    GridNoise(sigma, noise.size).fill(noise, _ILLUSTRATION_SEED, Stream.SMOOTH, 0)
    noisy = values + noise.reshape(values.shape)
    pixels, copy = torch.from_numpy(values), torch.from_numpy(noisy)
    mean, std = encoder.get_buffer("mean"), encoder.get_buffer("std")
    purified = booster.purify(encoder.normalise(copy)) * std + mean
    bare = smoothed_graph(encoder, no_booster(), images=1)
    boosted = smoothed_graph(encoder, booster, images=1)
    clean = bare.unit_features(pixels)
    return Denoised(
        name=name,
        clean=_shown(values),
        noisy=_shown(noisy),
        purified=_shown(purified.numpy()),
        bare_cosine=float((bare.unit_features(copy) * clean).sum()),
        boosted_cosine=float((boosted.unit_features(copy) * clean).sum()),
    )


def draw_denoised(photos: Sequence[Denoised], sigma: float) -> bytes:
    """A PNG of the photos, one a column: clean, with noise, and purified, with cosines to the clean feature.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = ("the photo", f"with noise of σ = {sigma:g}", "behind the purifier")
    buffer = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        size = (_SIDE * len(photos) + 0.5, _SIDE * len(rows) + 1.0)
        figure = Figure(figsize=size, dpi=_DPI, facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(rows), len(photos), squeeze=False)
        for column, photo in enumerate(photos):
            axes[0, column].set_title(photo.name, fontsize=10, fontweight="bold", color=_INK, parse_math=False)
            pictures = (photo.clean, photo.noisy, photo.purified)
            said = ("", f"cosine {photo.bare_cosine:.2f}", f"cosine {photo.boosted_cosine:.2f}")
            for row, (picture, words) in enumerate(zip(pictures, said, strict=True)):
                _show(axes[row, column], picture, words)
        for row, words in enumerate(rows):
            axes[row, 0].set_ylabel(words, fontsize=9, color=_QUIET)
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _show(axes: Any, picture: Pixels, words: str) -> None:
    axes.imshow(picture, interpolation="antialiased")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if words:
        axes.set_xlabel(words, fontsize=9, color=_INK)


def _shown(values: npt.NDArray[np.float32]) -> Pixels:
    """Pixels [1, 3, H, W] in [0, 1], as a picture."""
    levels = np.rint(np.clip(values[0], 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))
