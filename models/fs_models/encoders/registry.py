"""Encoder families by what they accept. A new family is one file that registers its adapter, named in ``_MODULES``."""

from collections.abc import Iterator
from importlib import import_module
from typing import TypeVar

from fs_models.encoders.adapter import EncoderAdapter
from fs_runtime.bundle.manifest import Tap
from fs_runtime.errors import InputError

_MODULES = ("fs_models.encoders.efficientnet_lite",)
_FAMILIES: dict[str, type[EncoderAdapter]] = {}

Adapter = TypeVar("Adapter", bound=type[EncoderAdapter])


def register(adapter: Adapter) -> Adapter:
    """Class decorator: make a family known."""
    _FAMILIES[adapter.family] = adapter
    return adapter


def families() -> Iterator[type[EncoderAdapter]]:
    """All families, in order of name."""
    for module in _MODULES:
        import_module(module)
    for name in sorted(_FAMILIES):
        yield _FAMILIES[name]


def load_encoder(model: str, *, tap: str | None = None, revision: str | None = None) -> EncoderAdapter:
    """Load ``model`` with the family that accepts it.

    Args:
        model: id, as ``fs-export list`` shows them.
        tap: which feature; default: the family's first.
        revision: version of the weights, where the source has versions.

    Raises:
        InputError: no family accepts the model, the family lacks the tap, or the weights cannot be loaded.
    """
    for family in families():
        if family.accepts(model):
            adapter = family.load(model, tap=_chosen_tap(family, model, tap), revision=revision)
            return adapter.eval().requires_grad_(False)
    known = ", ".join(example for family in families() for example in family.examples)
    raise InputError(f"no encoder family accepts {model!r}: choose one of {known}")


def _chosen_tap(family: type[EncoderAdapter], model: str, tap: str | None) -> Tap:
    if tap is None:
        return family.taps[0]
    for known in family.taps:
        if known == tap:
            return known
    raise InputError(f"{model} has no tap {tap!r}: --tap takes {', '.join(family.taps)} for the family {family.family}")
