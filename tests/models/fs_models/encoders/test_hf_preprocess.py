"""preprocessor_config.json, in the shapes that real ones have."""

import numpy as np
import pytest
import transformers
from PIL import Image

from fs_models.encoders.hf_preprocess import read_preprocess
from fs_runtime.errors import InputError
from fs_runtime.preprocess import CenterCrop, Exact, PadSquare, ShortestEdge, prepare, resize

CLIP = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_resize": True,
    "image_mean": [0.48, 0.45, 0.4],
    "image_std": [0.26, 0.26, 0.27],
    "resample": 3,
    "size": {"shortest_edge": 224},
}
CROPPED = (CenterCrop(224, 224), (224, 224))
OLD_CLIP = {**CLIP, "crop_size": 224, "size": 224}
VIT = {"do_resize": True, "size": {"height": 224, "width": 196}, "resample": 2, "do_normalize": False}
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
OLD_VIT = {"do_resize": True, "size": 224, "resample": 2, "do_normalize": True, **HALF}
CONVNEXT = {"do_resize": True, "size": {"shortest_edge": 224}, "crop_pct": 0.875, "resample": 3, **HALF}
CROP = {"do_resize": False, "do_center_crop": True, "crop_size": 96, "do_normalize": False}


@pytest.mark.parametrize(
    ("config", "resize", "crop", "size"),
    [
        (CLIP, ShortestEdge(224, "bicubic"), CenterCrop(224, 224), (224, 224)),
        (OLD_CLIP, ShortestEdge(224, "bicubic"), CenterCrop(224, 224), (224, 224)),
        (VIT, Exact(224, 196, "bilinear"), None, (224, 196)),
        (OLD_VIT, Exact(224, 224, "bilinear"), None, (224, 224)),
        (CONVNEXT, ShortestEdge(256, "bicubic"), CenterCrop(224, 224), (224, 224)),
        ({**CONVNEXT, "size": {"shortest_edge": 384}}, Exact(384, 384, "bicubic"), None, (384, 384)),
        ({**OLD_VIT, "default_to_square": True}, Exact(224, 224, "bilinear"), None, (224, 224)),
        ({**CLIP, "size": {"shortest_edge": 224, "longest_edge": None}}, ShortestEdge(224, "bicubic"), *CROPPED),
        ({"image_processor": CLIP}, ShortestEdge(224, "bicubic"), CenterCrop(224, 224), (224, 224)),
        (CROP, None, CenterCrop(96, 96), (96, 96)),
    ],
)
def test_read_preprocess_gives_the_rule_when_the_file_is_common(config, resize, crop, size):
    read = read_preprocess(config, "f")
    assert (read.rule.resize, read.rule.crop, (read.height, read.width)) == (resize, crop, size)


def test_read_preprocess_normalises_nothing_when_the_file_does_not_ask():
    read = read_preprocess(VIT, "f")
    assert (read.mean, read.std) == ((0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize(
    "change",
    [
        {"do_pad": True},
        {"rescale_factor": 1 / 127.5},
        {"do_rescale": False},
        {"resample": 9},
        {"size": "224"},
        {"size": {"longest_edge": 224, "shortest_edge": 10}},
        {"crop_size": None},
        {"do_center_crop": False},
        {"image_mean": [0.5]},
        {"image_std": [0.5, 0.0, 0.5]},
        {"image_mean": ["a", "b", "c"]},
        {"image_mean": [float("nan")] * 3},
    ],
)
def test_read_preprocess_refuses_what_the_runtime_cannot_do(change):
    with pytest.raises(InputError, match=r"folder/preprocessor_config\.json"):
        read_preprocess({**CLIP, **change}, "folder/preprocessor_config.json")


@pytest.mark.parametrize(
    ("whole", "key"),
    [(CLIP, "resample"), (CLIP, "image_mean"), (CLIP, "image_std"), (CLIP, "do_center_crop"), (CROP, "do_resize")],
)
def test_read_preprocess_refuses_a_file_without_a_name_that_leaves_pixels_open(whole, key):
    config = {name: value for name, value in whole.items() if name != key}
    with pytest.raises(InputError, match=rf"^f names no image processor .* lacks .*{key}.*save_pretrained"):
        read_preprocess(config, "f")


def test_read_preprocess_takes_the_defaults_of_the_class_when_an_old_file_names_one():
    old = {"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224, "do_center_crop": True}
    read = read_preprocess(old, "f")
    assert read.rule.resize == ShortestEdge(224, "bicubic")
    assert read.mean == tuple(transformers.CLIPImageProcessorPil.image_mean)


@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (70, 70), (33, 64)])
def test_read_preprocess_pads_as_llava_does_when_the_file_asks_for_it(shape):
    side = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    processor = transformers.LlavaImageProcessorPil(do_pad=True, **side)
    read = read_preprocess(processor.to_dict(), "f")
    assert read.rule.pad == PadSquare(fill=tuple(int(255 * value) / 255 for value in read.mean))
    coarse = np.random.Generator(np.random.Philox(1)).random((6, 8, 3), np.float32)
    image = (resize(coarse, *shape, "bicubic").clip(0, 1) * 255).round().astype(np.uint8)
    theirs = processor(Image.fromarray(image), return_tensors="np")["pixel_values"]
    mean, std = (np.array(values)[:, None, None] for values in (read.mean, read.std))
    levels = 255 * np.abs(prepare(image, read.rule).pixel_values - (theirs * std + mean))
    # The padding's edge is hard, and theirs rounds and clips beside it.
    assert np.quantile(levels, 0.9) < 1.1
    assert levels.max() < 16


def test_read_preprocess_refuses_padding_of_another_processor():
    kind = {"image_processor_type": "CLIPImageProcessor", "do_pad": True}
    with pytest.raises(InputError, match="do_pad"):
        read_preprocess({**CLIP, **kind}, "f")
