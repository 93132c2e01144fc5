"""Labels as sentences through tiny random text towers: they show the path, not the meaning."""

from pathlib import Path

import pytest
import torch
import transformers
from helpers import tiny_huggingface
from helpers.tiny_text import save_tokenizer
from torch.nn import functional

from fs_models.encoders import LoadRequest
from fs_models.prototypes import load_text_tower, read_labels, zero_shot
from fs_runtime.errors import InputError

LABELS = ("cat", "red car", "dog")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    kinds = ("clip", "siglip", "clip-vision", "vit")
    return {kind: save_tokenizer(tiny_huggingface.save(kind, root / kind)) for kind in kinds}


@pytest.mark.parametrize(
    ("kind", "template", "arguments"),
    [
        ("clip", "a photo of a {}.", {"padding": True}),
        ("siglip", "This is a photo of {}.", {"padding": "max_length", "max_length": 12, "truncation": True}),
    ],
)
def test_zero_shot_equals_transformers_when_the_template_is_the_usual_one(folders, kind, template, arguments):
    made = zero_shot(load_text_tower(LoadRequest(str(folders[kind]))), LABELS)
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
    tower = load_text_tower(LoadRequest(str(folders["clip"])))
    templates = ("a photo of a {}.", "the {}")
    both = zero_shot(tower, LABELS, templates).vectors
    single = [zero_shot(tower, LABELS, (template,)).vectors for template in templates]
    torch.testing.assert_close(both, (single[0] + single[1]) / 2, rtol=0, atol=1e-6)
    assert (single[0] - single[1]).norm(dim=1).min() > 1e-3


def test_encode_gives_the_same_when_a_text_is_beside_a_longer_one(folders):
    tower = load_text_tower(LoadRequest(str(folders["clip"])))
    alone, beside = tower.encode(["a cat"]), tower.encode(["a cat", "this is a photo of the red car"])
    torch.testing.assert_close(alone[0], beside[0], rtol=0, atol=1e-6)


def test_encode_cuts_a_text_when_it_is_longer_than_the_context(folders):
    assert load_text_tower(LoadRequest(str(folders["siglip"]))).encode(["cat " * 50]).shape == (1, 32)


@pytest.mark.parametrize(("template", "match"), [("a photo", "must hold {} once"), ("{} and {}", "must hold {} once")])
def test_zero_shot_raises_when_a_template_has_no_single_place(folders, template, match):
    with pytest.raises(InputError, match=match):
        zero_shot(load_text_tower(LoadRequest(str(folders["clip"]))), LABELS, (template,))


@pytest.mark.parametrize("kind", ["clip-vision", "vit"])
def test_load_text_tower_raises_when_there_is_none(folders, kind):
    with pytest.raises(InputError, match=r"has no text tower, so --labels .* --prototypes-from"):
        load_text_tower(LoadRequest(str(folders[kind])))


def test_load_text_tower_raises_when_the_tokenizer_is_missing(tmp_path):
    folder = tiny_huggingface.save("clip", tmp_path / "clip")
    with pytest.raises(InputError, match=r"has no tokenizer \(tokenizer.json"):
        load_text_tower(LoadRequest(str(folder)))


def test_load_text_tower_raises_when_text_weights_are_missing(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_tokenizer(tiny_huggingface.save("clip", tmp_path / "clip"))
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "text_projection" not in name}
    assert len(kept) == len(weights) - 1
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="lacks the text weights text_projection"):
        load_text_tower(LoadRequest(str(folder)))


def test_read_labels_leaves_out_empty_lines_when_there_are_some(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffcat\r\n\n  Schönwetter \ndog".encode())
    assert read_labels(path) == ("cat", "Schönwetter", "dog")


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"cat\n", "holds 1 labels"), (b"cat\ndog\ncat", "holds 'cat' twice"), (b"\xff\xfe", "not text in UTF-8")],
)
def test_read_labels_raises_when_the_file_does_not_serve(tmp_path, content, match):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"--labels .*{match}"):
        read_labels(path)


def test_read_labels_raises_when_there_is_no_file(tmp_path):
    with pytest.raises(InputError, match=r"--labels .* cannot be read"):
        read_labels(tmp_path / "none.txt")
