"""Reading the folder of a ``diffusers`` UNet2DModel, and making such a network again."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from fs_models.encoders import EncoderSpec
from fs_models.gsb.diffusion import DiffusionPurifier, DiffusionSizes
from fs_runtime.errors import InputError

_CONFIG = "config.json"
_WEIGHTS = "diffusion_pytorch_model.safetensors"
_SCHEDULE = "scheduler_config.json"
_CLASS = "UNet2DModel"
_LARGEST_STEPS = 100_000


def make_network(config: dict[str, Any]) -> nn.Module:
    """A network of ``config``, untrained.

    Raises:
        InputError: ``diffusers`` is not installed, or does not know such a network.
    """
    try:
        from diffusers import UNet2DModel
    except ImportError as error:
        raise InputError("a diffusion purifier needs diffusers: pip install 'fs-export[diffusion]'") from error
    own = {key: value for key, value in config.items() if not key.startswith("_")}
    # It would draw from torch's global generator, and a fit depends on its seed alone.
    own["dropout"] = 0.0
    try:
        network: nn.Module = UNet2DModel(**own)
    except (TypeError, ValueError) as error:
        raise InputError(f"diffusers cannot make such a {_CLASS} ({error}): check its {_CONFIG}") from error
    return network


def read_diffusers_folder(folder: Path, spec: EncoderSpec) -> DiffusionPurifier:
    """A pretrained network as the purifier before an encoder.

    Args:
        folder: with ``config.json`` and ``diffusion_pytorch_model.safetensors``, and with the schedule that the network
            was trained on: ``scheduler_config.json``, there or in ``../scheduler``.
        spec: of the encoder, whose normalisation the purifier undoes and does again.

    Raises:
        InputError: the folder holds no such network or no schedule, or its pixels are not 3 channels.
    """
    config = _json(folder / _CONFIG)
    if config.get("_class_name") != _CLASS:
        raise InputError(f"{folder / _CONFIG} is of {config.get('_class_name')!r}: a purifier needs a {_CLASS}")
    if config.get("in_channels", 3) != 3 or config.get("out_channels", 3) not in (3, 6):
        raise InputError(f"{folder / _CONFIG} does not take and give RGB pixels: a purifier works on pixels")
    schedule = _schedule(folder)
    sizes = DiffusionSizes(
        unet=config,
        mean=spec.mean,
        std=spec.std,
        alphas_cumprod=tuple(alphas_cumprod(schedule, folder)),
        prediction=schedule.get("prediction_type", "epsilon"),
    )
    if sizes.prediction not in ("epsilon", "v_prediction", "sample"):
        raise InputError(f"{folder} predicts {sizes.prediction!r}: epsilon, v_prediction and sample are known")
    network = make_network(config)
    try:
        network.load_state_dict(load_file(folder / _WEIGHTS))
    except FileNotFoundError as error:
        raise InputError(f"{folder / _WEIGHTS} is missing: save the network with safe_serialization=True") from error
    except (SafetensorError, RuntimeError) as error:
        raise InputError(f"{folder / _WEIGHTS} does not fit {_CONFIG}: save the network again") from error
    return DiffusionPurifier(sizes, network)


def alphas_cumprod(schedule: dict[str, Any], folder: Path) -> list[float]:
    """The share of the signal's variance at each time of a ``diffusers`` schedule.

    Raises:
        InputError: a schedule that is not known.
    """
    if schedule.get("rescale_betas_zero_snr"):
        raise InputError(
            f"{folder} has a schedule with rescale_betas_zero_snr, which is not known: give a network that was trained "
            "without it"
        )
    betas = _betas(schedule, folder)
    if not bool(((betas > 0.0) & (betas < 1.0)).all()):
        raise InputError(f"{folder} has a schedule whose betas do not all lie in (0, 1): restore its {_SCHEDULE}")
    return [float(value) for value in torch.cumprod(1.0 - betas, 0)]


def _betas(schedule: dict[str, Any], folder: Path) -> torch.Tensor:
    """The share of the variance that each step replaces by noise."""
    if (trained := schedule.get("trained_betas")) is not None:  # they go before everything else, as in diffusers
        try:
            betas = torch.tensor(trained, dtype=torch.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"{folder} has trained_betas that are no numbers: restore its {_SCHEDULE}") from error
        if betas.ndim != 1 or not 1 <= len(betas) <= _LARGEST_STEPS:
            raise InputError(f"{folder} has trained_betas that are no list of numbers: restore its {_SCHEDULE}")
        return betas
    kind, steps = schedule.get("beta_schedule", "linear"), int(schedule.get("num_train_timesteps", 1000))
    first, last = float(schedule.get("beta_start", 1e-4)), float(schedule.get("beta_end", 0.02))
    if not 1 <= steps <= _LARGEST_STEPS:
        raise InputError(f"{folder} has a schedule of {steps} steps: restore its {_SCHEDULE}")
    if kind == "linear":
        return torch.linspace(first, last, steps, dtype=torch.float64)
    if kind == "scaled_linear":
        return torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64) ** 2
    if kind == "squaredcos_cap_v2":
        times = torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64)
        kept = torch.cos((times + 0.008) / 1.008 * torch.pi / 2) ** 2
        return (1.0 - kept[1:] / kept[:-1]).clamp(max=0.999)
    raise InputError(f"{folder} has the schedule {kind!r}: linear, scaled_linear and squaredcos_cap_v2 are known")


def _schedule(folder: Path) -> dict[str, Any]:
    for path in (folder / _SCHEDULE, folder.parent / "scheduler" / _SCHEDULE):
        if path.is_file():
            schedule = _json(path)
            if not schedule.keys() & {"beta_schedule", "trained_betas"}:
                raise InputError(f"{path} states no betas: a purifier needs a variance-preserving schedule")
            return schedule
    raise InputError(
        f"{folder} has no {_SCHEDULE}, nor has ../scheduler: put that of the network's training there, which the "
        "save_pretrained of its scheduler writes"
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: name the folder that diffusers' save_pretrained wrote") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): save the network again") from error
    if not isinstance(read, dict):
        raise InputError(f"{path} is not a JSON object: save the network again")
    return read
