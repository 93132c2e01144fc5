"""What every encoder is to the exporter: normalised pixels in, raw feature out, and the facts around it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import nn

from fs_models.encoders.preprocessing import Preprocessing
from fs_runtime.bundle.manifest import Tap
from fs_runtime.errors import InputError
from fs_runtime.preprocess import PreprocessRule

if TYPE_CHECKING:
    from fs_models.encoders.checkpoint import Checkpoint
    from fs_models.encoders.text_tower import TextTower

FOLDER_REVISION = "sha256:"
"""What the revision of a local folder begins with: a hash of its weights, as a folder has no commit."""


@dataclass(frozen=True)
class LoadRequest:
    """What a user asks for.

    Attributes:
        model: encoder id or folder.
        tap: which feature; None: the family's default.
        revision: version of the weights, where the source has versions.
        trust_pickle: read weights that are Python pickles.
        trust_remote_code: run Python code that comes with the model.
        image_size: (height, width) of the input, for encoders that take several sizes; None: the family's default.
    """

    model: str
    tap: Tap | None = None
    revision: str | None = None
    trust_pickle: bool = False
    trust_remote_code: bool = False
    image_size: tuple[int, int] | None = None

    def check_size(self, height: int, width: int) -> None:
        """Refuse a size that was asked for, where the encoder takes ``height`` x ``width`` only."""
        if self.image_size not in (None, (height, width)):
            raise InputError(f"{self.model} takes images of {height} x {width} only: leave out --image-size")


@dataclass(frozen=True)
class EncoderSpec:
    """The facts of one loaded encoder.

    Attributes:
        model: id or folder the user named.
        revision: commit or version of the weights, if they have one.
        family: name of the adapter.
        tap: which feature is taken.
        feature_shape: shape of one raw feature, before flattening.
        height: rows of the input.
        width: columns of the input.
        mean: per-channel mean of the normalisation, over [0, 1] pixels.
        std: per-channel standard deviation of the normalisation.
        preprocess: how an image becomes height x width pixels.
        config_files: the model's own configuration, copied into the bundle.
    """

    model: str
    revision: str | None
    family: str
    tap: Tap
    feature_shape: tuple[int, ...]
    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    preprocess: PreprocessRule
    config_files: tuple[Path, ...] = ()

    @classmethod
    def unmeasured(
        cls,
        request: LoadRequest,
        preprocessing: Preprocessing,
        *,
        revision: str | None,
        family: str,
        tap: Tap,
        config_files: tuple[Path, ...] = (),
    ) -> Self:
        """The facts of an encoder before any image ran through it: the shape of its feature is still to come.

        Raises:
            InputError: the request is for images of another size.
        """
        request.check_size(preprocessing.height, preprocessing.width)
        return cls(
            model=request.model,
            revision=revision,
            family=family,
            tap=tap,
            feature_shape=(),
            height=preprocessing.height,
            width=preprocessing.width,
            mean=preprocessing.mean,
            std=preprocessing.std,
            preprocess=preprocessing.rule,
            config_files=config_files,
        )


@dataclass(frozen=True, eq=False)
class OfferedPrototypes:
    """Directions in an encoder's feature space that have names.

    Attributes:
        vectors: [C, D] rows of any length, in the space of the flattened feature.
        labels: [C] names.
        notice: what must go wherever the names go, such as their licence; empty: nothing.
    """

    vectors: torch.Tensor
    labels: tuple[str, ...]
    notice: str = ""


class EncoderAdapter(nn.Module, ABC):
    """One pretrained encoder, in evaluation mode.

    Called with pixels [B, 3, H, W] in [0, 1] it gives raw features [B, *feature_shape]; it treats each image of the
    batch by itself, which the certificates assume (docs/theory.md).
    """

    family: ClassVar[str]
    taps: ClassVar[tuple[Tap, ...]]
    examples: ClassVar[tuple[str, ...]]
    spec: EncoderSpec

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1))

    @classmethod
    def accepts(cls, model: str) -> bool:  # noqa: ARG003
        """Whether this family knows the name ``model``, without a look at any file. None by default."""
        return False

    @classmethod
    def reads(cls, checkpoint: "Checkpoint") -> bool:  # noqa: ARG003
        """Whether this family can load a folder or repository with such a configuration. None by default."""
        return False

    @classmethod
    @abstractmethod
    def load(cls, request: LoadRequest) -> Self:
        """Load pretrained weights; never random ones.

        Raises:
            InputError: the weights are missing or do not fit; the message says what to install or mend.
        """

    @abstractmethod
    def encode(self, normalised: torch.Tensor) -> torch.Tensor:
        """Raw features [B, *feature_shape] of normalised pixels [B, 3, H, W]."""

    def text_tower(self) -> "TextTower | None":
        """The text encoder that shares the feature space, for families that were trained with one. None by default."""
        return None

    def prototypes(self) -> dict[str, OfferedPrototypes]:
        """Prototypes that come with the weights, by name; the exporter puts them into the bundle. None by default."""
        return {}

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """The model's own normalisation of pixels [B, 3, H, W] in [0, 1]."""
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        return (pixels - mean) / std

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Raw features of pixels in [0, 1]."""
        return self.encode(self.normalise(pixels))
