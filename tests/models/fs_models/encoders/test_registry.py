"""The registry of encoder families."""

import pytest
import torch
from helpers import tiny_torch

from fs_models.encoders import LoadRequest, families, load_encoder, registry
from fs_models.encoders.checkpoint import could_be_checkpoint
from fs_runtime.errors import InputError


def test_families_list_efficientnet_lite_before_the_general_one_when_asked() -> None:
    names = [family.family for family in families()]
    assert names[0] == "efficientnet-lite"
    assert names[-1] == "huggingface"
    assert len(set(names)) == len(names)
    for family in families():
        assert family.taps
        assert all(family.accepts(example) or could_be_checkpoint(example) for example in family.examples[:-1])


def test_families_keep_their_order_when_one_was_imported_before_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = list(families())
    turned = dict(reversed(registry._FAMILIES.items()))
    monkeypatch.setattr(registry, "_FAMILIES", turned)
    found = list(families())
    assert [family.__module__ for family in found] == [family.__module__ for family in expected]


@pytest.mark.parametrize("model", ["efficientnet-lite9", "efficientnet-b0", "Efficientnet-lite0", "", "resnet"])
def test_load_encoder_names_what_there_is_when_the_model_is_unknown(
    model: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    with pytest.raises(InputError, match=r"efficientnet-lite0|no encoder family|cannot be loaded|has no"):
        load_encoder(LoadRequest(model))


def test_load_encoder_names_the_nearest_when_the_model_is_mistyped() -> None:
    with pytest.raises(InputError, match=r"did you mean efficientnet-lite0\?.*fs-export list") as caught:
        load_encoder(LoadRequest("eficientnet-lite0"))
    assert len(str(caught.value)) < 220
    with pytest.raises(InputError, match="'qqqq': name the folder of a model or its id on the hub, or one of those"):
        load_encoder(LoadRequest("qqqq"))


def test_load_encoder_names_the_taps_when_the_tap_is_unknown() -> None:
    with pytest.raises(InputError, match="efficientnet-lite0 has no tap 'tokens': --tap takes pooled"):
        load_encoder(LoadRequest("efficientnet-lite0", tap="tokens"))


def test_load_encoder_gives_a_frozen_encoder_in_evaluation_mode_when_it_is_known() -> None:
    with tiny_torch.registered():
        encoder = load_encoder(LoadRequest(tiny_torch.MODEL))
        assert encoder.spec.tap == "pooled"
        assert load_encoder(LoadRequest(tiny_torch.MODEL, tap="tokens")).spec.tap == "tokens"
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    with pytest.raises(InputError):
        load_encoder(LoadRequest(tiny_torch.MODEL))


def test_forward_normalises_before_encoding_when_called() -> None:
    adapter = tiny_torch.tiny_adapter()
    pixels = torch.rand((2, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (adapter.spec.mean, adapter.spec.std))
    torch.testing.assert_close(adapter(pixels), adapter.encode((pixels - mean) / std))
