"""What is refused of a folder, and what of it is read."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from helpers import families
from safetensors.torch import load_file, save_file

from fs_models.encoders import LoadRequest, load_encoder, split_part
from fs_runtime.errors import InputError


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    names = ("clip", "siglip", "llava", "llava-next", "qwen2-vl", "siglip2", "swin", "vit")
    return {case.name: families.save(case, root / case.name) for case in families.CASES if case.name in names}


@pytest.fixture
def folder(folders, tmp_path):
    return lambda name: Path(shutil.copytree(folders[name], tmp_path / name))


def edit(folder, name, change):
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))


def drop(folder, chosen):
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not chosen(name)}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


def refusal(model, **arguments):
    with pytest.raises(InputError) as caught:
        load_encoder(LoadRequest(str(model), **arguments))
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize(
    ("kind", "nearest", "reason"),
    [
        ("bert", "nearest family is", "takes input_ids"),
        ("llava_onevision", "nearest family is llava", "an adapter for 'llava_onevision' is missing"),
        ("qwen3_vl", "nearest family is qwen-vl", "an adapter for 'qwen3_vl' is missing"),
        ("clip_vision_modell", "nearest family is clip", "transformers has no base model of"),
    ],
)
def test_load_names_the_nearest_family_when_the_architecture_is_unknown(folder, kind, nearest, reason):
    vit = folder("vit")
    edit(vit, "config.json", lambda config: config.update(model_type=kind))
    message = refusal(vit)
    assert nearest in message
    assert reason in message


def test_load_refuses_a_config_without_a_type(folder):
    vit = folder("vit")
    edit(vit, "config.json", lambda config: config.pop("model_type"))
    assert "has no model_type" in refusal(vit)


def test_load_reads_no_language_model_when_only_the_vision_side_is_needed(folder):
    llava = folder("llava")
    whole = load_encoder(LoadRequest(str(llava)))
    assert not any("language" in name for name, _ in whole.named_parameters())
    drop(llava, lambda name: "language_model" in name or "lm_head" in name)
    part = load_encoder(LoadRequest(str(llava)))
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(part(pixels), whole(pixels))


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("llava", "multi_modal_projector.linear_2.weight"),
        ("llava", "vision_tower.encoder.layers.0.layer_norm1.weight"),
        ("qwen2-vl", "visual.merger.ln_q.weight"),
        ("clip", "visual_projection.weight"),
        ("siglip", "vision_model.head.probe"),
        ("siglip2", "vision_model.embeddings.position_embedding.weight"),
    ],
)
def test_load_refuses_random_weights_when_any_is_missing(folder, name, weight):
    broken = folder(name)
    last = weight.split(".", 1)[1] if name in ("siglip", "siglip2") else weight
    drop(broken, lambda stored: stored.endswith(last))
    size = {"qwen2-vl": (32, 32), "siglip2": (24, 32)}.get(name)
    assert weight.rsplit(".", 2)[1] in refusal(broken, image_size=size)


def test_load_refuses_weights_of_another_shape(folder):
    llava = folder("llava")
    edit(llava, "config.json", lambda config: config["vision_config"].update(intermediate_size=40))
    assert "lacks the weights" in refusal(llava)


def test_load_needs_no_projection_when_the_tap_is_before_it(folder):
    clip = folder("clip")
    drop(clip, lambda name: "visual_projection" in name)
    assert load_encoder(LoadRequest(str(clip), "tokens")).spec.feature_shape == (17, 32)


def test_load_refuses_a_pooled_feature_that_the_model_has_not(folder):
    siglip = folder("siglip")
    edit(siglip, "config.json", lambda config: config["vision_config"].update(vision_use_head=False))
    assert "has no tap 'pooled'" in refusal(siglip)
    assert load_encoder(LoadRequest(str(siglip), "tokens")).spec.tap == "tokens"


def test_load_refuses_a_class_token_that_the_model_has_not(folder):
    assert "has no class token" in refusal(folder("swin"), tap="cls")


def test_load_names_the_taps_when_the_family_lacks_one(folder):
    assert "--tap takes tokens for llava" in refusal(folder("llava"), tap="cls")
    assert "--tap takes pooled, tokens for siglip" in refusal(folder("siglip"), tap="cls")


def test_load_names_the_parts_when_the_model_has_no_such_part(folder):
    llava = folder("llava")
    assert "it knows #tower" in refusal(f"{llava}#merger")
    assert "it knows none" in refusal(f"{folder('vit')}#tower")


def test_split_part_leaves_a_folder_whole_when_its_name_has_the_sign(tmp_path):
    (tmp_path / "a#b").mkdir()
    assert split_part(str(tmp_path / "a#b")) == (str(tmp_path / "a#b"), "")
    assert split_part("owner/name#tower") == ("owner/name", "tower")
    assert split_part("owner/name") == ("owner/name", "")


@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [
        ("clip", (64, 64), "takes images of 32 x 32 only"),
        ("qwen2-vl", (40, 32), "multiples of 16"),
        ("qwen2-vl", (160, 160), "256 to 16384 pixels"),
        ("siglip2", (20, 32), "multiples of 8"),
        ("siglip2", (32, 32), "at most 12 patches"),
    ],
)
def test_load_refuses_a_size_that_the_model_cannot_take(folder, name, size, reason):
    message = refusal(folder(name), image_size=size)
    assert reason in message
    assert "--image-size" in message


def test_load_takes_its_own_size_when_it_is_asked_for(folder):
    assert load_encoder(LoadRequest(str(folder("clip")), image_size=(32, 32))).spec.height == 32


def test_load_reads_the_processors_new_file_when_it_is_the_only_one(folder):
    clip = folder("clip")
    expected = load_encoder(LoadRequest(str(clip))).spec.preprocess
    content = json.loads((clip / "preprocessor_config.json").read_text())
    (clip / "preprocessor_config.json").unlink()
    (clip / "processor_config.json").write_text(json.dumps({"image_processor": content}))
    assert load_encoder(LoadRequest(str(clip))).spec.preprocess == expected


def test_load_takes_the_processor_of_the_model_type_when_the_file_names_none(folder):
    clip = folder("clip")
    kept = ("size", "crop_size")
    edit(clip, "preprocessor_config.json", lambda config: [config.pop(key) for key in list(config) if key not in kept])
    spec = load_encoder(LoadRequest(str(clip))).spec
    assert spec.preprocess.resize.kernel == "bicubic"
    assert spec.mean == tuple(transformers.CLIPImageProcessorPil.image_mean)


@pytest.mark.parametrize("kind", ["LevitImageProcessor", "EfficientNetImageProcessor", "NeverHeardOfImageProcessor"])
def test_load_refuses_a_processor_with_steps_of_its_own(folder, kind):
    vit = folder("vit")
    edit(vit, "preprocessor_config.json", lambda config: config.update(image_processor_type=kind))
    assert f"is for {kind}" in refusal(vit)


def test_load_takes_the_processors_defaults_when_the_file_leaves_them_out(folder):
    clip = folder("clip")
    kept = ("size", "crop_size", "image_processor_type")
    edit(clip, "preprocessor_config.json", lambda config: [config.pop(key) for key in list(config) if key not in kept])
    spec = load_encoder(LoadRequest(str(clip))).spec
    assert spec.mean == tuple(transformers.CLIPImageProcessorPil.image_mean)
    assert spec.preprocess.resize.kernel == "bicubic"
    assert spec.preprocess.crop is not None


@pytest.mark.parametrize(("name", "padding"), [("clip", "longest"), ("siglip", "max_length")])
def test_text_tower_gives_features_that_compare_when_it_is_loaded(folder, name, padding):
    encoder = load_encoder(LoadRequest(str(folder(name))))
    tower = encoder.text_tower()
    assert tower.padding == padding
    feature = tower.features(tower.load(), input_ids=torch.tensor([[1, 5, 2]]))
    assert tuple(feature.shape[1:]) == encoder.spec.feature_shape


def test_text_tower_is_none_when_the_encoder_was_trained_without_one(folder):
    assert load_encoder(LoadRequest(str(folder("vit")))).text_tower() is None


def test_text_tower_refuses_random_weights_when_the_checkpoint_has_no_text(folder):
    clip = folder("clip")
    encoder = load_encoder(LoadRequest(str(clip)))
    drop(clip, lambda name: name.startswith("text_model"))
    tower = encoder.text_tower()
    with pytest.raises(InputError, match="holds weights of sha256"):
        tower.load()
    fresh = load_encoder(LoadRequest(str(clip))).text_tower()
    with pytest.raises(InputError, match="lacks the weights"):
        fresh.load()
