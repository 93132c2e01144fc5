"""Encoder families. A new family is one file that registers its adapter, named in ``_MODULES``."""

from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from fs_models.encoders.adapter import EncoderAdapter, LoadRequest
from fs_models.encoders.checkpoint import CONFIG, Checkpoint, could_be_checkpoint
from fs_runtime.errors import InputError

# In the order in which they are asked: the general one last.
_MODULES = tuple(
    f"fs_models.encoders.{name}"
    for name in (
        "efficientnet_lite",
        "face",
        "timm",
        "clip",
        "siglip",
        "dino",
        "vit",
        "convnet",
        "siglip2",
        "llava",
        "qwen_vl",
        "internvl",
        "idefics",
        "open_clip",
        "huggingface",
    )
)
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
    # Whoever imports one family's file by itself registers it early; that must not change which is asked first.
    place = {module: index for index, module in enumerate(_MODULES)}
    yield from sorted(_FAMILIES.values(), key=lambda family: place.get(family.__module__, -1))


def find_family(request: LoadRequest) -> type[EncoderAdapter]:
    """The first family that knows the model's name, or can read its configuration.

    Raises:
        InputError: there is none; the message names the nearest.
    """
    for family in families():
        if family.accepts(request.model):
            return family
    if could_be_checkpoint(request.model):
        checkpoint = Checkpoint.open(request)
        for family in families():
            if family.reads(checkpoint):
                return family
        raise InputError(_unreadable(checkpoint))
    if Path(request.model).parent != Path():
        raise InputError(f"{request.model} is no folder: name the folder of a model, or the id of one")
    known = [example for family in families() for example in family.examples]
    near = get_close_matches(request.model, known, n=1)
    meant = f"did you mean {near[0]}? Else name" if near else "name"
    raise InputError(
        f"no encoder family accepts {request.model!r}: {meant} the folder of a model or its id on the hub, or one of "
        "those that fs-export list shows"
    )


def load_encoder(request: LoadRequest) -> EncoderAdapter:
    """Load a model with the first family that accepts it, in evaluation mode, frozen.

    Raises:
        InputError: no family accepts the model, the family lacks the tap, or the weights cannot be loaded.
    """
    family = find_family(request)
    if request.tap is not None and request.tap not in family.taps:
        taps = ", ".join(family.taps)
        raise InputError(f"{request.model} has no tap {request.tap!r}: --tap takes {taps} for {family.family}")
    return family.load(request).eval().requires_grad_(False)


def _unreadable(checkpoint: Checkpoint) -> str:
    """Why no family reads a checkpoint, and what would help."""
    from fs_models.encoders.huggingface import model_inputs

    model, kind = checkpoint.model, checkpoint.model_type
    if not checkpoint.config:
        return f"{model} has no {CONFIG}: an encoder's folder needs it; save it with save_pretrained"
    if not kind:
        return f"{model}/{CONFIG} has no model_type: restore the file that save_pretrained writes"
    types = {name: family for family in families() for name in getattr(family, "model_types", ())}
    near = get_close_matches(kind, types, n=1, cutoff=0.0)[0]
    nearest = f"the nearest family is {types[near].family} ({', '.join(types[near].model_types)})"  # type: ignore[attr-defined]
    inputs = model_inputs(kind)
    if inputs is None:
        return f"{model} is a {kind!r}, which transformers has no base model of; {nearest}: convert it to one of those"
    return (
        f"{model} is a {kind!r}, whose base model takes {inputs}, so it is not an image encoder by itself; {nearest}, "
        f"and an adapter for {kind!r} is missing (docs/adding-a-model.md)"
    )
