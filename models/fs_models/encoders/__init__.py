"""Pretrained encoders, one adapter per family."""

from fs_models.encoders.adapter import (
    FOLDER_REVISION,
    EncoderAdapter,
    EncoderSpec,
    LoadRequest,
    OfferedPrototypes,
)
from fs_models.encoders.checkpoint import Checkpoint, split_part
from fs_models.encoders.registry import families, find_family, load_encoder, register
from fs_models.encoders.text_tower import TextTower

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
