"""What an interrupted fit goes on from: one file, replaced whole."""

from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors

from fs_models.gsb.fitting.curve import Point
from fs_runtime.errors import InputError
from fs_runtime.files import write_together

STATE = "fitting.safetensors"
_KEY = "fit"


class FitState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a fit is, beside its tensors.

    Attributes:
        request: what was asked for, and on which photos and encoder; another may not go on from here.
        stage: ``purifier`` or ``mapper``.
        step: of the stage.
        seconds: of training so far.
        samples: noisy crops that were trained on.
        threads: that trained; others add in another order.
        purifier_steps: of the first stage, once it is done.
        points: the curve so far.
    """

    request: dict[str, str]
    stage: str
    step: int
    seconds: float
    samples: int
    threads: int
    purifier_steps: int = 0
    points: tuple[Point, ...] = ()


def write_state(folder: Path, state: FitState, tensors: dict[str, torch.Tensor]) -> None:
    """Replace the state.

    Raises:
        OSError: the folder cannot be written.
    """
    write_together({folder / STATE: save_tensors(tensors, {_KEY: msgspec.json.encode(state).decode()})})


def read_state(folder: Path, request: dict[str, str]) -> tuple[FitState, dict[str, torch.Tensor]]:
    """The state in ``folder``.

    Raises:
        InputError: there is none, it is damaged, or it is of another request; the message names what differs.
    """
    path = folder / STATE
    if not path.is_file():
        raise InputError(f"{folder} holds no interrupted fit: leave out --resume")
    try:
        with safe_open(path, "pt") as file:
            state = msgspec.json.decode((file.metadata() or {})[_KEY], type=FitState)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
    except (SafetensorError, OSError, KeyError, msgspec.DecodeError) as error:
        raise InputError(f"{path} is damaged ({error}): start again with --overwrite") from error
    for name, value in request.items():
        if state.request.get(name) != value:
            raise InputError(
                f"{path} is of a fit with {name} {state.request.get(name)}, not {value}: ask for the same, or start "
                "again with --overwrite"
            )
    return state, tensors
