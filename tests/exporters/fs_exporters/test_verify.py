"""verify: a bundle that prepares images otherwise than its encoder wants them is not that encoder's."""

import shutil
from pathlib import Path

import pytest
from helpers import tiny_huggingface
from helpers.tiny import edit_manifest

from fs_exporters.parity import ParityError
from fs_exporters.pipeline import export_bundle
from fs_exporters.verify import verify_bundle
from fs_runtime.errors import InputError


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    root = tmp_path_factory.mktemp("verify")
    model = tiny_huggingface.save("vit", root / "vit")
    result = export_bundle(str(model), sigma=0.1, noise_batch=4, output=root / "bundle", tap="cls", threads=1)
    return model, result.path


@pytest.fixture
def bundle(exported, tmp_path):
    return Path(shutil.copytree(exported[1], tmp_path / "bundle"))


def test_verify_passes_when_nothing_was_touched(bundle):
    assert verify_bundle(bundle, threads=1).smallest_cosine > 0.99999


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [9.0, 9.0, 9.0]},
        {"family": "other"},
        {"preprocess": {"resize": {"mode": "exact", "height": 32, "width": 32, "kernel": "nearest"}, "crop": None}},
    ],
)
def test_verify_fails_when_the_manifest_lies_about_the_encoder(bundle, change):
    edit_manifest(bundle, lambda content: content.update(change))
    with pytest.raises(ParityError, match=next(iter(change))):
        verify_bundle(bundle, threads=1)


def test_verify_finds_the_encoder_when_it_was_moved(exported, bundle, tmp_path):
    moved = shutil.copytree(exported[0], tmp_path / "elsewhere")
    assert verify_bundle(bundle, threads=1, model=str(moved)).smallest_cosine > 0.99999


def test_verify_refuses_other_weights_of_the_same_shape(bundle, tmp_path):
    other = tiny_huggingface.save("vit-classifier", tmp_path / "other")
    with pytest.raises(InputError, match="holds weights of sha256"):
        verify_bundle(bundle, threads=1, model=str(other))
