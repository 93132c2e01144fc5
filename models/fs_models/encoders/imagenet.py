"""Names for the outputs of ImageNet-1k classifiers."""

from functools import cache
from pathlib import Path

import torch

from fs_models.encoders.adapter import OfferedPrototypes

_DATA = Path(__file__).with_name("data")


@cache
def imagenet_names() -> tuple[str, ...]:
    """A name for each of the 1000 classes, in the order of a classifier's outputs. All differ; from WordNet 3.0."""
    return tuple((_DATA / "imagenet.names.txt").read_text("utf-8").splitlines())


@cache
def imagenet_ids() -> tuple[str, ...]:
    """The WordNet 3.0 id of each class, such as ``n01440764``, in the same order; files and folders are named by it."""
    return tuple((_DATA / "imagenet.ids.txt").read_text("utf-8").splitlines())


def imagenet_prototypes(weights: torch.Tensor) -> OfferedPrototypes:
    """The rows [1000, D] of a classifier's last layer as prototypes of the classes.

    The nearest prototype is the classifier's own answer but for its biases and the rows' lengths, which a cosine does
    not know.
    """
    notice = (_DATA / "NOTICE").read_text("utf-8")
    return OfferedPrototypes(weights.detach().float(), imagenet_names(), notice)
