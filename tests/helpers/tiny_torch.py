"""A tiny encoder in torch, for exports in seconds."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from unittest import mock

import msgspec
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from fs_models.encoders import EncoderAdapter, EncoderSpec, LoadRequest, OfferedPrototypes, registry
from fs_runtime.bundle import MANIFEST, Manifest
from fs_runtime.preprocess import Exact, PreprocessRule

SIDE = 8
MODEL = "tiny-8"


class TinyAdapter(EncoderAdapter):
    """A convolution, a batch norm with statistics of its own, and a linear layer: [B, 6], or [B, 2, 3] for tokens."""

    family = "tiny"
    taps = ("pooled", "tokens")
    examples = (MODEL,)

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__(spec)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.convolution = nn.Conv2d(3, 8, 3, stride=2)
            self.norm = nn.BatchNorm2d(8)
            self.linear = nn.Linear(72, 6)
            nn.init.uniform_(self.norm.get_buffer("running_mean"), -0.1, 0.1)
            nn.init.uniform_(self.norm.get_buffer("running_var"), 0.5, 1.5)

    @classmethod
    def accepts(cls, model: str) -> bool:
        return model == MODEL

    @classmethod
    def load(cls, request: LoadRequest) -> Self:
        tap = request.tap or "pooled"
        return cls(
            EncoderSpec(
                model=request.model,
                revision="r1",
                family=cls.family,
                tap=tap,
                feature_shape=(2, 3) if tap == "tokens" else (6,),
                height=SIDE,
                width=SIDE,
                mean=(0.5, 0.4, 0.3),
                std=(0.2, 0.25, 0.5),
                preprocess=PreprocessRule(resize=Exact(SIDE, SIDE, "bilinear")),
            )
        )

    def encode(self, normalised: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.norm(self.convolution(normalised)))
        feature: torch.Tensor = self.linear(hidden.flatten(1))
        return feature.unflatten(1, (2, 3)) if self.spec.tap == "tokens" else feature


def tiny_adapter(tap: Any = "pooled") -> TinyAdapter:
    """As the registry would load it."""
    adapter = TinyAdapter.load(LoadRequest(MODEL, tap)).eval()
    return adapter.requires_grad_(False)


@contextmanager
def offering(vectors: torch.Tensor, labels: tuple[str, ...], notice: str = "", name: str = "corners") -> Iterator[None]:
    """Let the tiny encoder offer prototypes."""
    offered = {name: OfferedPrototypes(vectors, labels, notice)}
    with mock.patch.object(TinyAdapter, "prototypes", return_value=offered):
        yield


@contextmanager
def registered() -> Iterator[None]:
    """Make the registry know the tiny family, before any other."""
    list(registry.families())
    with mock.patch.dict(registry._FAMILIES, {"tiny": TinyAdapter, **registry._FAMILIES}, clear=True):
        yield


def spoil(path: Path, factor: float, *, largest: bool = True) -> None:
    """Multiply the first weight of one of the graph's tensors."""
    model = onnx.load(path)
    tensors = sorted(
        (tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT),
        key=lambda tensor: len(tensor.raw_data),
    )
    tensor = tensors[-1 if largest else 0]
    values = numpy_helper.to_array(tensor).copy()
    values.flat[: max(1, values.size // 2)] *= factor
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save_model(model, path)


def rehash(bundle: Path) -> None:
    """Make the manifest state what the files are now."""
    from fs_runtime.bundle.files import digest, total_bytes

    manifest = msgspec.json.decode((bundle / MANIFEST).read_bytes(), type=Manifest)
    graphs = []
    for graph in manifest.graphs:
        files = [bundle / name for name in (graph.file, *graph.external_data)]
        graphs.append(msgspec.structs.replace(graph, sha256=digest(files), bytes=total_bytes(files)))
    changed = msgspec.structs.replace(manifest, graphs=tuple(graphs))
    (bundle / MANIFEST).write_bytes(msgspec.json.encode(changed))


def copy_of(bundle: Path, target: Path) -> Path:
    """A bundle to change."""
    return Path(shutil.copytree(bundle, target))
