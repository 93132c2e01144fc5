"""The diffusion purifier: scaling and time, against a network that knows the noise."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
import torch
from helpers import tiny_gsb, tiny_torch
from torch import nn

from fs_models.gsb.diffusers_folder import alphas_cumprod, make_network, read_diffusers_folder
from fs_models.gsb.diffusion import DiffusionPurifier, DiffusionSizes
from fs_runtime.errors import InputError

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
SCHEDULE = tuple(alphas_cumprod({}, Path()))


class _Knowing(nn.Module):
    """Gives what a perfect network would, and remembers what it was given."""

    def __init__(self, clean: torch.Tensor, noise: torch.Tensor, sigma: float, prediction: str) -> None:
        super().__init__()
        signal, noisy = (1.0 + 4.0 * sigma**2) ** -0.5, 2.0 * sigma * (1.0 + 4.0 * sigma**2) ** -0.5
        answers = {"epsilon": noise, "sample": clean, "v_prediction": signal * noise - noisy * clean}
        self.answer = answers[prediction]
        self.seen: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        self.seen = sample, timestep
        return (self.answer,)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("sigma", [0.05, 0.25, 1.0])
def test_purifier_recovers_the_image_when_the_network_knows_the_noise(
    prediction: Literal["epsilon", "v_prediction", "sample"], sigma: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels, noise = torch.rand(2, 3, 8, 8, generator=generator), torch.randn(2, 3, 8, 8, generator=generator)
    sizes = DiffusionSizes(unet={}, mean=MEAN, std=STD, alphas_cumprod=SCHEDULE, prediction=prediction)
    network = _Knowing(2.0 * pixels - 1.0, noise, sigma, prediction)
    purifier = DiffusionPurifier(sizes, network)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))
    purified = purifier((pixels + sigma * noise - mean) / std, torch.tensor([sigma]))
    torch.testing.assert_close(purified, (pixels - mean) / std, rtol=1e-4, atol=2e-5)
    assert network.seen is not None
    given, timestep = network.seen
    kept = SCHEDULE[int(timestep[0])]
    # What a variance-preserving schedule has at that time, to the nearest of its steps.
    expected = kept**0.5 * (2.0 * pixels - 1.0) + (1.0 - kept) ** 0.5 * noise
    assert float((given - expected).abs().max()) < 0.03
    assert purifier.timestep(torch.tensor([0.01]))[0] < timestep[0]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_purifier_changes_nothing_when_sigma_is_zero(
    prediction: Literal["epsilon", "v_prediction", "sample"],
) -> None:
    sizes = DiffusionSizes(unet={}, mean=MEAN, std=STD, alphas_cumprod=SCHEDULE, prediction=prediction)
    values = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    network = _Knowing(values, values, 0.3, prediction)
    assert torch.equal(DiffusionPurifier(sizes, network)(values, torch.zeros(1)), values)


def test_alphas_cumprod_falls_when_the_schedule_is_known(tmp_path: Path) -> None:
    for kind in ("linear", "scaled_linear", "squaredcos_cap_v2"):
        kept = alphas_cumprod({"beta_schedule": kind, "num_train_timesteps": 50}, tmp_path)
        assert len(kept) == 50
        assert all(later < earlier for earlier, later in pairwise(kept))
    with pytest.raises(InputError, match="sigmoid"):
        alphas_cumprod({"beta_schedule": "sigmoid"}, tmp_path)


def test_alphas_cumprod_heeds_trained_betas_when_there_are_some(tmp_path: Path) -> None:
    betas = [0.1, 0.2, 0.5]
    kept = alphas_cumprod({"beta_schedule": "linear", "trained_betas": betas}, tmp_path)
    assert kept == pytest.approx([0.9, 0.72, 0.36])
    assert len(alphas_cumprod({"trained_betas": None, "num_train_timesteps": 7}, tmp_path)) == 7


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr, which is not known"),
        ({"trained_betas": "many"}, "no numbers|no list"),
        ({"trained_betas": [[0.1]]}, "no list"),
        ({"trained_betas": [0.1, 1.0]}, r"\(0, 1\)"),
        ({"beta_end": 1.5}, r"\(0, 1\)"),
    ],
)
def test_alphas_cumprod_refuses_when_the_schedule_is_not_known(
    schedule: dict[str, object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        alphas_cumprod(schedule, tmp_path)


@pytest.mark.parametrize("schedule", [None, {"_class_name": "ScoreSdeVeScheduler", "sigma_max": 1348.0}])
def test_read_diffusers_folder_refuses_when_it_has_no_schedule(
    schedule: dict[str, object] | None, tmp_path: Path
) -> None:
    folder = tmp_path / "unet"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(tiny_gsb.TINY_DIFFUSION))
    words = r"has no scheduler_config\.json, nor has \.\./scheduler: put"
    if schedule is not None:
        words = "states no betas"
        (tmp_path / "scheduler").mkdir()
        (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(schedule))
    with pytest.raises(InputError, match=words):
        read_diffusers_folder(folder, tiny_torch.tiny_adapter().spec)


def test_read_diffusers_folder_refuses_when_it_is_no_purifier(tmp_path: Path) -> None:
    spec = tiny_torch.tiny_adapter().spec
    with pytest.raises(InputError, match="missing"):
        read_diffusers_folder(tmp_path, spec)
    for changes, words in (({"_class_name": "VQModel"}, "VQModel"), ({"in_channels": 4}, "RGB")):
        (tmp_path / "config.json").write_text(json.dumps(tiny_gsb.TINY_DIFFUSION | changes))
        with pytest.raises(InputError, match=words):
            read_diffusers_folder(tmp_path, spec)


def test_make_network_names_the_extra_when_diffusers_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(InputError, match=r"fs-export\[diffusion\]"):
        make_network(tiny_gsb.TINY_DIFFUSION)


def test_read_diffusers_folder_gives_the_network_when_it_was_saved(tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="diffusers is not installed: pip install 'fs-export[diffusion]'")
    network = tiny_gsb.save_diffusion(tmp_path)
    spec = tiny_torch.tiny_adapter().spec
    purifier = read_diffusers_folder(tmp_path, spec)
    values = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([0.25])
    with torch.inference_mode():
        noisy = 2.0 * (values * purifier.std + purifier.mean) - 1.0
        time = purifier.timestep(sigma).expand(2)
        noise = network(noisy / 1.25**0.5, time).sample
        torch.testing.assert_close(purifier(values, sigma), values - 0.25 * noise / purifier.std)
        assert torch.equal(purifier(values, torch.zeros(1)), values)
