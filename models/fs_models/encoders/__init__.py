"""Pretrained encoders, one adapter per family."""

from fs_models.encoders.adapter import EncoderAdapter, EncoderSpec, LoadRequest
from fs_models.encoders.registry import families, load_encoder, register

__all__ = ["EncoderAdapter", "EncoderSpec", "LoadRequest", "families", "load_encoder", "register"]
