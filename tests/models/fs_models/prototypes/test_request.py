"""What a user can ask for, and what is refused before any work."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny_huggingface, tiny_torch
from helpers.tiny_text import save_tokenizer
from PIL import Image

from fs_models.encoders import LoadRequest, load_encoder
from fs_models.prototypes import PrototypeRequest, requested_prototypes
from fs_runtime.errors import InputError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(4):
        path = tmp_path / "pets" / ("cats" if number < 2 else "dogs") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return tmp_path / "pets"


def made(request, encoder):
    return requested_prototypes(request, encoder, sigma=0.25)


def test_requested_prototypes_are_all_sets_when_several_are_asked_for(tmp_path, photos):
    folder = save_tokenizer(tiny_huggingface.save("clip", tmp_path / "clip"))
    (tmp_path / "labels.txt").write_text("cat\ndog\nred car\n")
    encoder = load_encoder(LoadRequest(str(folder)))
    request = PrototypeRequest(labels=tmp_path / "labels.txt", templates=("a {}",), classes=photos, draws=2)
    result = made(request, encoder)
    assert {name: tuple(each.vectors.shape) for name, each in result.sets.items()} == {
        "labels": (3, 16),
        "pets": (2, 16),
    }
    assert result.summary == ("labels: 3 labels in text", "pets: 2 classes from 4 images")


def test_requested_prototypes_hold_those_of_the_weights_unless_they_are_not_wanted(photos):
    with tiny_torch.offering(torch.eye(6)[:2], ("left", "right")):
        encoder = tiny_torch.tiny_adapter()
        assert list(made(PrototypeRequest(gallery=photos), encoder).sets) == ["corners", "pets"]
        assert list(made(PrototypeRequest(gallery=photos, offered=False), encoder).sets) == ["pets"]
        assert made(PrototypeRequest(offered=False), encoder).sets == {}


def test_requested_prototypes_raise_when_the_weights_have_a_set_of_that_name(photos):
    with (
        tiny_torch.offering(torch.eye(6)[:2], ("left", "right"), name="pets"),
        pytest.raises(InputError, match=r"named 'pets' too: rename .* or give --no-prototypes"),
    ):
        made(PrototypeRequest(gallery=photos), tiny_torch.tiny_adapter())


def test_requested_prototypes_raise_when_texts_do_not_share_the_taps_space(tmp_path):
    folder = save_tokenizer(tiny_huggingface.save("clip", tmp_path / "clip"))
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    request = PrototypeRequest(labels=tmp_path / "labels.txt")
    encoder = load_encoder(LoadRequest(str(folder), "cls"))
    with pytest.raises(InputError, match="--labels needs the pooled tap"):
        made(request, encoder)
    with pytest.raises(InputError, match="was trained without texts"):
        made(request, tiny_torch.tiny_adapter())


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        (PrototypeRequest(templates=("a {}",)), "--template is for the labels of --labels"),
        (PrototypeRequest(draws=3), "--prototype-draws is for the images of --prototypes-from"),
        (PrototypeRequest(classes=Path("x"), draws=-1), "--prototype-draws must lie in"),
        (PrototypeRequest(labels=Path("none.txt")), "--labels none.txt cannot be read"),
        (PrototypeRequest(classes=Path("a/pets"), gallery=Path("b/pets")), "two sets .* named 'pets'"),
        (PrototypeRequest(gallery=Path("my photos")), "cannot be named 'my photos'"),
    ],
)
def test_check_raises_when_the_request_cannot_be_meant(request_, match):
    with pytest.raises(InputError, match=match):
        request_.check()
