"""Encoder families. A new family is one file that registers its adapter, named in ``_MODULES``."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from fs_models.encoders.adapter import EncoderAdapter, LoadRequest
from fs_runtime.errors import InputError

# In the order in which they are asked: the general one last.
_MODULES = ("fs_models.encoders.efficientnet_lite", "fs_models.encoders.huggingface")
_FAMILIES: dict[str, type[EncoderAdapter]] = {}

Adapter = TypeVar("Adapter", bound=type[EncoderAdapter])


def register(adapter: Adapter) -> Adapter:
    """Class decorator: make a family known."""
    _FAMILIES[adapter.family] = adapter
    return adapter


def families() -> Iterator[type[EncoderAdapter]]:
    """All families, in the order in which they are asked whether they accept a model."""
    for module in _MODULES:
        import_module(module)
    yield from _FAMILIES.values()


def load_encoder(request: LoadRequest) -> EncoderAdapter:
    """Load a model with the first family that accepts it, in evaluation mode, frozen.

    Raises:
        InputError: no family accepts the model, the family lacks the tap, or the weights cannot be loaded.
    """
    for family in families():
        if family.accepts(request.model):
            if request.tap is not None and request.tap not in family.taps:
                taps = ", ".join(family.taps)
                raise InputError(f"{request.model} has no tap {request.tap!r}: --tap takes {taps} for {family.family}")
            return family.load(request).eval().requires_grad_(False)
    if Path(request.model).parent != Path():
        raise InputError(f"{request.model} is no folder: name the folder of a model, or the id of one")
    known = ", ".join(example for family in families() for example in family.examples)
    raise InputError(f"no encoder family accepts {request.model!r}: choose one of {known}")
