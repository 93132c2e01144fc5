"""Image encoders of Hugging Face transformers: CLIP's vision tower, ViT, DINOv2 and what is shaped like them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from torch import nn

from fs_models.encoders.adapter import FOLDER_REVISION, EncoderAdapter, EncoderSpec, LoadRequest
from fs_models.encoders.hf_preprocess import HfPreprocess, read_preprocess
from fs_models.encoders.registry import register
from fs_runtime.bundle.files import digest
from fs_runtime.bundle.manifest import Tap
from fs_runtime.errors import InputError

T = TypeVar("T")

_CONFIG = "config.json"
_PREPROCESS = "preprocessor_config.json"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_CLIP = ("clip", "clip_vision_model")
_OUTPUTS: dict[Tap, str] = {"pooled": "pooler_output", "cls": "last_hidden_state", "tokens": "last_hidden_state"}


@register
class HuggingFace(EncoderAdapter):
    """Any transformers model that takes ``pixel_values`` of one image and gives hidden states.

    Taps: ``pooled`` (CLIP: the projection; others: the pooler's output), ``cls`` (the first token of the last hidden
    state) and ``tokens`` (all of it).
    """

    family = "huggingface"
    taps = ("pooled", "cls", "tokens")
    examples = ("openai/clip-vit-base-patch32", "facebook/dinov2-base", "google/vit-base-patch16-224", "./folder")

    def __init__(self, spec: EncoderSpec, network: nn.Module, output: str) -> None:
        super().__init__(spec)
        self.network = network
        self._output = output

    @classmethod
    def accepts(cls, model: str) -> bool:
        """Whether ``model`` is a folder, or could be the id of one on the hub."""
        return Path(model).is_dir() or _HUB_ID.fullmatch(model) is not None

    @classmethod
    def load(cls, request: LoadRequest) -> Self:
        """Load config, weights and preprocessing; safetensors only, unless pickle is trusted."""
        model = request.model
        files = {name: model_file(request, name) for name in (_CONFIG, _PREPROCESS)}
        config = _read_json(files[_CONFIG], model, _CONFIG)
        preprocess = read_preprocess(_read_json(files[_PREPROCESS], model, _PREPROCESS), f"{model}/{_PREPROCESS}")
        tap = request.tap or "pooled"
        weights = _check_folder(request)
        network, commit = _load_network(request, config, tap)
        output = _output_name(network, tap)
        shape = _feature_shape(network, output, tap, preprocess, model)
        spec = EncoderSpec(
            model=model,
            revision=weights or commit,
            family=cls.family,
            tap=tap,
            feature_shape=shape,
            height=preprocess.height,
            width=preprocess.width,
            mean=preprocess.mean,
            std=preprocess.std,
            preprocess=preprocess.rule,
            config_files=tuple(path for path in files.values() if path is not None),
        )
        return cls(spec, network, output)

    def encode(self, normalised: torch.Tensor) -> torch.Tensor:
        """The tap's feature: [B, D], or [B, L, C] for tokens."""
        return _tapped(self.network, normalised, self._output, self.spec.tap)


def model_config(request: LoadRequest) -> dict[str, Any]:
    """The model's config.json.

    Raises:
        InputError: there is none, or it is damaged.
    """
    return _read_json(model_file(request, _CONFIG), request.model, _CONFIG)


def _check_folder(request: LoadRequest) -> str | None:
    """A hash of a local folder's weights, which stands for the revision that a folder does not have.

    Raises:
        InputError: the request names the hash of other weights.
    """
    folder = Path(request.model)
    if not folder.is_dir():
        return None
    weights = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin"))
    found = f"{FOLDER_REVISION}{digest(weights)}"
    if request.revision not in (None, found):
        raise InputError(f"{folder} holds weights of {found}, not {request.revision}: name the folder of those weights")
    return found


def _tapped(network: nn.Module, normalised: torch.Tensor, output: str, tap: Tap) -> torch.Tensor:
    feature: torch.Tensor = getattr(network(pixel_values=normalised), output)
    return feature[:, 0] if tap == "cls" else feature


def _output_name(network: nn.Module, tap: Tap) -> str:
    if tap == "pooled" and hasattr(network, "visual_projection"):
        return "image_embeds"
    return _OUTPUTS[tap]


def hub_revision(request: LoadRequest) -> str | None:
    """What transformers is to be told: a folder has no revision of the hub's."""
    return None if Path(request.model).is_dir() else request.revision


def model_file(request: LoadRequest, name: str) -> Path | None:
    """A file of the model, from the folder, the cache or the hub; None where the model has no such file."""
    from transformers.utils.hub import cached_file

    found = explained(
        request.model,
        lambda: cached_file(
            request.model, name, revision=hub_revision(request), _raise_exceptions_for_missing_entries=False
        ),
    )
    return None if found is None else Path(found)


def _read_json(path: Path | None, model: str, name: str) -> dict[str, Any]:
    if path is None:
        raise InputError(f"{model} has no {name}: an image encoder's folder needs it; save it with save_pretrained")
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{model}/{name} is not valid JSON ({error}): restore the file") from error
    if not isinstance(content, dict):
        raise InputError(f"{model}/{name} is not a JSON object: restore the file")
    return content


def _load_network(request: LoadRequest, config: dict[str, Any], tap: Tap) -> tuple[nn.Module, str | None]:
    """The model with all weights from the checkpoint, and the commit they come from."""
    import transformers

    arguments: dict[str, Any] = {
        "revision": hub_revision(request),
        "trust_remote_code": request.trust_remote_code,
        "use_safetensors": None if request.trust_pickle else True,
        "dtype": torch.float32,
        "output_loading_info": True,
    }
    if config.get("auto_map") and not request.trust_remote_code:
        raise InputError(f"{request.model} needs Python code from its folder: read it, then give --trust-remote-code")
    loader: Any = transformers.AutoModel
    if config.get("model_type") in _CLIP:
        loader = transformers.CLIPVisionModelWithProjection
        if "projection_dim" in config and "vision_config" in config:
            # Two-tower checkpoints keep the projection's width at the top.
            arguments["projection_dim"] = config["projection_dim"]
    network, report = explained(request.model, lambda: loader.from_pretrained(request.model, **arguments))
    missing = sorted(report["missing_keys"])
    if missing and all("pooler" in name for name in missing):
        if tap == "pooled":
            raise InputError(
                f"{request.model} has no trained pooler, so no pooled feature: use --tap cls or --tap tokens"
            )
    elif missing:
        raise InputError(f"{request.model} lacks the weights {', '.join(missing[:3])}...: use a complete checkpoint")
    if "pixel_values" not in network.main_input_name:
        raise InputError(
            f"{request.model} ({config.get('model_type')}) is not an image encoder: it takes {network.main_input_name}"
        )
    return network, getattr(network.config, "_commit_hash", None)


def _feature_shape(network: nn.Module, output: str, tap: Tap, preprocess: HfPreprocess, model: str) -> tuple[int, ...]:
    """Shape of one feature, by running one image; tells whether the sizes fit, too."""
    image = torch.zeros(1, 3, preprocess.height, preprocess.width)
    try:
        with torch.inference_mode():
            return tuple(_tapped(network.eval(), image, output, tap).shape[1:])
    except (ValueError, RuntimeError) as error:
        size = f"{preprocess.height} x {preprocess.width}"
        raise InputError(f"{model} cannot take the {size} images that its {_PREPROCESS} makes: {error}") from error
    except (AttributeError, TypeError) as error:
        raise InputError(f"{model} gives no {output}, so it has no tap {tap!r}: try another --tap") from error


def explained(model: str, load: Callable[[], T]) -> T:
    """Run a loader of transformers silently; its errors become one sentence.

    Raises:
        InputError: naming ``model``.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging

    talk: Any = logging  # its functions carry no types
    verbosity = talk.get_verbosity()
    talk.set_verbosity_error()
    talk.disable_progress_bar()
    try:
        return load()
    except (OSError, ValueError, RuntimeError, SafetensorError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        if "model.safetensors" in reason:
            reason += " (weights that are pickles, pytorch_model.bin, need --trust-pickle)"
        raise InputError(f"{model} cannot be loaded: {reason}") from error
    finally:
        talk.set_verbosity(verbosity)
        talk.enable_progress_bar()
