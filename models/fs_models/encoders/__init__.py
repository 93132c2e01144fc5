"""Pretrained encoders, one adapter per family."""

from fs_models.encoders.adapter import (
    FOLDER_REVISION,
    EncoderAdapter,
    EncoderSpec,
    LoadRequest,
    OfferedPrototypes,
    TextTower,
)
from fs_models.encoders.checkpoint import Checkpoint, split_part
from fs_models.encoders.registry import families, find_family, load_encoder, register

__all__ = [
    "FOLDER_REVISION",
    "Checkpoint",
    "EncoderAdapter",
    "EncoderSpec",
    "LoadRequest",
    "OfferedPrototypes",
    "TextTower",
    "families",
    "find_family",
    "load_encoder",
    "register",
    "split_part",
]
