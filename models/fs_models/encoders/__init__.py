"""Pretrained encoders, one adapter per family."""

from fs_models.encoders.adapter import FOLDER_REVISION, EncoderAdapter, EncoderSpec, LoadRequest, OfferedPrototypes
from fs_models.encoders.registry import families, load_encoder, register

__all__ = [
    "FOLDER_REVISION",
    "EncoderAdapter",
    "EncoderSpec",
    "LoadRequest",
    "OfferedPrototypes",
    "families",
    "load_encoder",
    "register",
]
