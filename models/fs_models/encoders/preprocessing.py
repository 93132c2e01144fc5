"""How an encoder wants its images prepared."""

from dataclasses import dataclass, replace
from typing import Literal

from fs_runtime.preprocess import Exact, PreprocessRule

Kernel = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]


@dataclass(frozen=True)
class Preprocessing:
    """From an image of any size to what an encoder takes, whoever says so: a file of Hugging Face, timm, or an adapter.

    Attributes:
        rule: resize and crop.
        height: rows that come out of them.
        width: columns that come out of them.
        mean: per-channel mean of the normalisation, over [0, 1] pixels.
        std: per-channel standard deviation.
    """

    rule: PreprocessRule
    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def squeezed(self) -> "Preprocessing":
        """The same, but resized to the final size whatever the image's shape, without a crop."""
        kernel = "bilinear" if self.rule.resize is None else self.rule.resize.kernel
        rule = PreprocessRule(resize=Exact(height=self.height, width=self.width, kernel=kernel))
        return replace(self, rule=rule)
