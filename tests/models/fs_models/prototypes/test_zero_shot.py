"""Labels as sentences through tiny random text towers: they show the path, not the meaning."""

from pathlib import Path

import pytest
import torch
import transformers
from helpers import tiny_huggingface
from helpers.tiny_text import save_tokenizer
from safetensors.torch import load_file, save_file
from torch.nn import functional

from fs_models.encoders import EncoderAdapter, LoadRequest, load_encoder
from fs_models.prototypes import read_labels, text_features, zero_shot
from fs_runtime.errors import InputError

LABELS = ("cat", "red car", "dog")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    kinds = ("clip", "siglip", "clip-vision", "vit")
    return {kind: save_tokenizer(tiny_huggingface.save(kind, root / kind)) for kind in kinds}


def encoder_of(folder: Path) -> EncoderAdapter:
    return load_encoder(LoadRequest(str(folder)))


@pytest.mark.parametrize(
    ("kind", "template", "arguments"),
    [
        ("clip", "a photo of a {}.", {"padding": True}),
        ("siglip", "This is a photo of {}.", {"padding": "max_length", "max_length": 12, "truncation": True}),
    ],
)
def test_zero_shot_equals_transformers_when_the_template_is_the_usual_one(folders, kind, template, arguments):
    made = zero_shot(encoder_of(folders[kind]), LABELS)
    model = transformers.AutoModel.from_pretrained(folders[kind]).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[kind])
    tokens = tokenizer([template.replace("{}", label) for label in LABELS], return_tensors="pt", **arguments)
    tokens = {name: tokens[name] for name in ("input_ids", "attention_mask") if kind == "clip" or name == "input_ids"}
    with torch.inference_mode():
        expected = functional.normalize(model.get_text_features(**tokens).pooler_output.double(), dim=-1)
    assert made.labels == LABELS
    torch.testing.assert_close(made.vectors, expected, rtol=0, atol=1e-6)
    assert (expected[0] - expected[1]).norm() > 1e-3


def test_zero_shot_averages_unit_features_when_there_are_several_templates(folders):
    tower = encoder_of(folders["clip"])
    templates = ("a photo of a {}.", "the {}")
    both = zero_shot(tower, LABELS, templates).vectors
    single = [zero_shot(tower, LABELS, (template,)).vectors for template in templates]
    torch.testing.assert_close(both, (single[0] + single[1]) / 2, rtol=0, atol=1e-6)
    assert (single[0] - single[1]).norm(dim=1).min() > 1e-3


def test_text_features_are_the_same_when_a_text_is_beside_a_longer_one(folders):
    tower = encoder_of(folders["clip"]).text_tower()
    alone = text_features(tower, ["a cat"])
    beside = text_features(tower, ["a cat", "this is a photo of the red car"])
    torch.testing.assert_close(alone[0], beside[0], rtol=0, atol=1e-6)


def test_text_features_cut_a_text_when_it_is_longer_than_the_context(folders):
    assert text_features(encoder_of(folders["siglip"]).text_tower(), ["cat " * 50]).shape == (1, 32)


@pytest.mark.parametrize(("template", "match"), [("a photo", "must hold {} once"), ("{} and {}", "must hold {} once")])
def test_zero_shot_raises_when_a_template_has_no_single_place(folders, template, match):
    with pytest.raises(InputError, match=match):
        zero_shot(encoder_of(folders["clip"]), LABELS, (template,))


def test_zero_shot_raises_when_no_text_tower_goes_with_the_encoder(folders):
    with pytest.raises(InputError, match=r"\(vit\) was trained without texts, .* --prototypes-from"):
        zero_shot(encoder_of(folders["vit"]), LABELS)
    with pytest.raises(InputError, match=r"--labels needs the text tower: .* lacks the weights"):
        zero_shot(encoder_of(folders["clip-vision"]), LABELS)


def test_zero_shot_raises_when_the_tokenizer_is_missing(tmp_path):
    folder = tiny_huggingface.save("clip", tmp_path / "clip")
    with pytest.raises(InputError, match=r"has no tokenizer \(tokenizer.json"):
        zero_shot(encoder_of(folder), LABELS)


def test_zero_shot_raises_when_text_weights_are_missing(tmp_path):
    folder = save_tokenizer(tiny_huggingface.save("clip", tmp_path / "clip"))
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "text_projection" not in name}
    assert len(kept) == len(weights) - 1
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="lacks the weights text_projection"):
        zero_shot(encoder_of(folder), LABELS)


def test_read_labels_leaves_out_empty_lines_when_there_are_some(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffcat\r\n\n  Schönwetter \ndog".encode())
    assert read_labels(path) == ("cat", "Schönwetter", "dog")


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"cat\n", "holds 1 label"), (b"cat\ndog\ncat", "holds 'cat' twice"), (b"\xff\xfe", "not text in UTF-8")],
)
def test_read_labels_raises_when_the_file_does_not_serve(tmp_path, content, match):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"--labels .*{match}"):
        read_labels(path)


def test_read_labels_raises_when_there_is_no_file(tmp_path):
    with pytest.raises(InputError, match=r"--labels .* cannot be read"):
        read_labels(tmp_path / "none.txt")
