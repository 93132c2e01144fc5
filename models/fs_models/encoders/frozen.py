"""The encoder as training and attacks want it: frozen, each batch norm folded into the convolution before it."""

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fs_models.encoders import EncoderAdapter

_TOLERANCE = 1e-3


def frozen_for_training(encoder: EncoderAdapter, device: torch.device) -> EncoderAdapter:
    """A copy on ``device`` that computes the same in fewer passes over memory, where that can be shown.

    A batch norm is folded if, in a trial run, its input is the very tensor that a convolution gave. Should the copy's
    features then differ, a copy without folding is returned.
    """
    plain = copy.deepcopy(encoder).to(device).eval().requires_grad_(False)
    spec = encoder.spec
    generator = torch.Generator().manual_seed(0)
    trial = torch.rand(2, 3, spec.height, spec.width, generator=generator).to(device)
    folded = copy.deepcopy(plain)
    with torch.inference_mode():
        pairs = _pairs(folded, trial)
        expected = plain(trial)
    if not pairs:
        return plain
    for convolution, norm in pairs:
        _fold(folded, convolution, norm)
    folded = folded.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode():
        found = folded(trial)
    near = torch.linalg.vector_norm(found - expected) <= _TOLERANCE * torch.linalg.vector_norm(expected)
    return folded if bool(near) else plain


def _pairs(encoder: nn.Module, trial: torch.Tensor) -> list[tuple[str, str]]:
    """Names of convolutions and of the batch norms right behind them."""
    made: dict[int, tuple[str, torch.Tensor]] = {}
    pairs: list[tuple[str, str]] = []
    handles = []
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Conv2d):

            def gave(_: nn.Module, __: object, output: torch.Tensor, name: str = name) -> None:
                made[id(output)] = name, output  # kept, so that no other tensor gets its id

            handles.append(module.register_forward_hook(gave))
        elif isinstance(module, nn.BatchNorm2d):

            def takes(_: nn.Module, given: tuple[torch.Tensor, ...], name: str = name) -> None:
                if id(given[0]) in made:
                    pairs.append((made[id(given[0])][0], name))

            handles.append(module.register_forward_pre_hook(takes))
    try:
        encoder(trial)
    finally:
        for handle in handles:
            handle.remove()
    # A module that runs twice is no pair.
    return [pair for pair in pairs if sum(pair[0] == other[0] or pair[1] == other[1] for other in pairs) == 1]


def _fold(encoder: nn.Module, convolution: str, norm: str) -> None:
    before, behind = encoder.get_submodule(convolution), encoder.get_submodule(norm)
    assert isinstance(before, nn.Conv2d)
    assert isinstance(behind, nn.BatchNorm2d)
    _replace(encoder, convolution, fuse_conv_bn_eval(before, behind))
    _replace(encoder, norm, nn.Identity())


def _replace(encoder: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(encoder.get_submodule(parent), own, module)
