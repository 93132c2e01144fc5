"""Tiny bundles, made in milliseconds and without torch: encoders that ONNX and NumPy both evaluate."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy import special

from fs_runtime.backends import Block
from fs_runtime.bundle import MANIFEST, Manifest
from fs_runtime.bundle.files import digest
from fs_runtime.bundle.manifest import Booster, Graph, Source
from fs_runtime.bundle.prototypes import FOLDER, Prototypes, write_prototypes
from fs_runtime.preprocess import PreprocessRule

Floats = npt.NDArray[np.float64]
Tap = Literal["pooled", "cls", "tokens"]
Node = tuple[str, tuple[str, ...], str]

SIGMA = 0.25
MEAN = (0.5, 0.4, 0.3)
STD = (0.2, 0.25, 0.5)


@dataclass(frozen=True)
class TinyEncoder:
    """Raw features of normalised pixels, flattened.

    Attributes:
        side: height and width of the input.
        dimension: D.
        nodes: (operator, inputs, output), from ``flat`` [N, 3 side^2] to ``raw`` [N, D].
        constants: named arrays that the nodes use.
        evaluate: the same in NumPy.
    """

    side: int
    dimension: int
    nodes: tuple[Node, ...]
    constants: dict[str, npt.NDArray[Any]]
    evaluate: Callable[[Floats], Floats]

    def raw(self, pixel_values: npt.NDArray[Any], noise: npt.NDArray[Any]) -> Floats:
        """[N, D] raw features of pixels [1, 3, H, W] under noise [N, 3, H, W], in float64."""
        noisy = pixel_values.astype(np.float64) + noise
        normalised = (noisy - _channels(MEAN)) / _channels(STD)
        return self.evaluate(normalised.reshape(len(noisy), -1))

    def features(self, pixel_values: npt.NDArray[Any], noise: npt.NDArray[Any]) -> Floats:
        """[N, D] unit features."""
        raw = self.raw(pixel_values, noise)
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def linear(*, side: int = 8, dimension: int = 6) -> TinyEncoder:
    """tanh(W x) + 1: features that lean one way and move with the noise."""
    weights = _weights(side, dimension) / side
    one = np.ones(dimension, np.float32)
    return TinyEncoder(
        side,
        dimension,
        (("MatMul", ("flat", "weights"), "linear"), ("Tanh", ("linear",), "bent"), ("Add", ("bent", "one"), "raw")),
        {"weights": weights, "one": one},
        lambda flat: np.tanh(flat @ weights) + 1.0,
    )


def scattering(*, side: int = 8, dimension: int = 6) -> TinyEncoder:
    """sin(1000 W x): under noise the features point everywhere alike, so nothing can be certified."""
    weights = 1000.0 * _weights(side, dimension)
    return TinyEncoder(
        side,
        dimension,
        (("MatMul", ("flat", "weights"), "linear"), ("Sin", ("linear",), "raw")),
        {"weights": weights},
        lambda flat: np.sin(flat @ weights),
    )


def not_a_number(*, above: float | None = None) -> TinyEncoder:
    """The linear encoder, NaN always, or where the first noisy pixel (in [0, 1] units) is above ``above``."""
    base = linear()
    scale = np.full(1, np.nan, np.float32)
    if above is None:
        nodes: tuple[Node, ...] = (("Mul", ("sane", "scale"), "raw"),)
        constants: dict[str, npt.NDArray[Any]] = {"scale": scale}
    else:
        select = np.zeros((3 * base.side**2, 1), np.float32)
        select[0] = -STD[0]
        constants = {"select": select, "limit": np.array([above - MEAN[0]], np.float32)}
        nodes = (
            ("MatMul", ("flat", "select"), "minus"),
            ("Add", ("minus", "limit"), "room"),
            ("Sqrt", ("room",), "root"),
            ("Mul", ("sane", "root"), "raw"),
        )
    renamed = tuple((kind, inputs, "sane" if output == "raw" else output) for kind, inputs, output in base.nodes)
    return TinyEncoder(base.side, base.dimension, renamed + nodes, {**base.constants, **constants}, base.evaluate)


@dataclass(frozen=True)
class KnownTruth:
    """An encoder of the first pixel alone, whose feature is constant between ``edges``.

    A shift of that pixel by t sigma is the worst attack, and gives the cells the probabilities of a shifted normal.

    Attributes:
        edges: [K] values of the first noisy pixel, rising.
        cells: [K + 1, D] unit features.
    """

    edges: tuple[float, ...]
    cells: Floats

    @property
    def encoder(self) -> TinyEncoder:
        """As a graph on 2 x 2 images."""
        side, count = 2, len(self.edges)
        select = np.zeros((3 * side**2, count), np.float32)
        select[0] = STD[0]
        cuts = np.array(self.edges, np.float32) - np.float32(MEAN[0])
        steps = np.diff(self.cells, axis=0).astype(np.float32)
        first = self.cells[0].astype(np.float32)
        nodes: tuple[Node, ...] = (
            ("MatMul", ("flat", "select"), "value"),
            ("Greater", ("value", "cuts"), "above"),
            ("Where", ("above", "yes", "no"), "inside"),
            ("MatMul", ("inside", "steps"), "climb"),
            ("Add", ("climb", "first"), "raw"),
        )
        constants = {
            "select": select,
            "cuts": cuts,
            "yes": np.ones(1, np.float32),
            "no": np.zeros(1, np.float32),
            "steps": steps,
            "first": first,
        }
        return TinyEncoder(
            side, self.cells.shape[1], nodes, constants, lambda flat: (flat @ select > cuts) @ steps + first
        )

    def smoothed(self, pixel: float, shift: float) -> Floats:
        """[D] the smoothed feature, not normalised, where the first pixel is ``pixel`` + ``shift`` SIGMA."""
        above = special.ndtr((pixel - np.array(self.edges)) / SIGMA + shift)
        probabilities = np.concatenate(([1.0], above)) - np.concatenate((above, [0.0]))
        return np.asarray(probabilities @ self.cells)


def smoothed_model(encoder: TinyEncoder, *, noise_batch: int, gives_features: bool, images: int = 1) -> onnx.ModelProto:
    """The smoothed graph of docs/bundle-format.md around ``encoder``."""
    n, side, dimension = noise_batch, encoder.side, encoder.dimension
    mixes = images > 1
    constants = {
        "mean": _channels(MEAN).astype(np.float32),
        "std": _channels(STD).astype(np.float32),
        "rows": np.array([1], np.int64),
        **({"slots": np.arange(images)[:, None]} if mixes else {"columns": np.array([0], np.int64)}),
        **encoder.constants,
    }
    body = [helper.make_node(kind, inputs, [output]) for kind, inputs, output in encoder.nodes]
    graph = helper.make_graph(
        [
            *([helper.make_node("Gather", ["pixel_values", "image_index"], ["own_pixels"])] if mixes else []),
            helper.make_node("Add", ["own_pixels" if mixes else "pixel_values", "noise"], ["noisy"]),
            helper.make_node("Sub", ["noisy", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "std"], ["normalised"]),
            helper.make_node("Flatten", ["normalised"], ["flat"]),
            *body,
            helper.make_node("ReduceL2", ["raw", "rows"], ["raw_norm"], keepdims=0),
            helper.make_node("Unsqueeze", ["raw_norm", "rows"], ["norms"]),
            helper.make_node("Div", ["raw", "norms"], ["features"]),
            *(_mixed_ends() if mixes else _plain_ends()),
        ],
        "tiny",
        [
            _value("pixel_values", (images, 3, side, side)),
            _value("noise", (n, 3, side, side)),
            _value("reference", (images, dimension) if mixes else (dimension,)),
            *([helper.make_tensor_value_info("image_index", TensorProto.INT64, (n,))] if mixes else []),
        ],
        [
            _value("cosine", (n,)),
            _value("feature_sum", (images, dimension) if mixes else (dimension,)),
            _value("raw_norm", (n,)),
            *([_value("features", (n, dimension))] if gives_features else []),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _plain_ends() -> list[onnx.NodeProto]:
    return [
        helper.make_node("MatMul", ["features", "reference"], ["cosine"]),
        helper.make_node("ReduceSum", ["features", "columns"], ["feature_sum"], keepdims=0),
    ]


def _mixed_ends() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Gather", ["reference", "image_index"], ["own_reference"]),
        helper.make_node("Mul", ["features", "own_reference"], ["products"]),
        helper.make_node("ReduceSum", ["products", "rows"], ["cosine"], keepdims=0),
        helper.make_node("Equal", ["slots", "image_index"], ["own"]),
        helper.make_node("Cast", ["own"], ["belongs"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["belongs", "features"], ["feature_sum"]),
    ]


def write_bundle(
    folder: Path,
    encoder: TinyEncoder | None = None,
    *,
    tap: Tap = "pooled",
    noise_batch: int = 4,
    images: int = 1,
    model: onnx.ModelProto | bytes | None = None,
    graph: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Write ``model.onnx`` and a manifest with the right hashes; a token tap has feature_shape (2, D / 2).

    Args:
        folder: made if it is not there.
        encoder: by default :func:`linear`.
        tap: ``tokens`` leaves the output ``features`` out of the graph.
        noise_batch: N.
        images: how many images' draws a batch mixes.
        model: another graph, or any bytes, in place of the encoder's.
        graph: fields of the manifest's graph to replace.
        changes: fields of the manifest to replace; nothing is validated.
    """
    encoder = encoder or linear()
    if model is None:
        model = smoothed_model(encoder, noise_batch=noise_batch, gives_features=tap != "tokens", images=images)
    data = model if isinstance(model, bytes) else model.SerializeToString()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(data)
    draft = Manifest(
        schema_version=1,
        source=Source(model="tiny"),
        family="tiny",
        tap=tap,
        feature_shape=(2, encoder.dimension // 2) if tap == "tokens" else (encoder.dimension,),
        height=encoder.side,
        width=encoder.side,
        sigma=SIGMA,
        noise_batch=noise_batch,
        images=images,
        mean=MEAN,
        std=STD,
        preprocess=PreprocessRule(),
        graphs=(),
    )
    stated = Graph(
        role="smoothed",
        file="model.onnx",
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        precision="fp32",
        opset=18,
        inputs=draft.smoothed_inputs,
        outputs=draft.smoothed_outputs,
    )
    manifest = msgspec.structs.replace(
        draft, **{"graphs": (msgspec.structs.replace(stated, **(graph or {})),), **changes}
    )
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return folder


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest as plain JSON, free of any type."""
    path = folder / MANIFEST
    content = json.loads(path.read_bytes())
    edit(content)
    path.write_text(json.dumps(content))


def add_clean(folder: Path) -> None:
    """Have a bundle say that its graph holds a booster, and add :func:`linear` as its graph of role ``clean``."""
    stated = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    bare, smoothed = stated.bare, stated.graphs[0]
    model = smoothed_model(linear(), noise_batch=1, gives_features=stated.has_features, images=1)
    data = model.SerializeToString()
    (folder / "clean.onnx").write_bytes(data)
    clean = msgspec.structs.replace(
        smoothed,
        role="clean",
        file="clean.onnx",
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        inputs=bare.smoothed_inputs,
        outputs=bare.smoothed_outputs,
    )
    booster = Booster(kind="default", sha256="0" * 64)
    made = msgspec.structs.replace(stated, gsb=booster, graphs=(smoothed, clean))
    (folder / MANIFEST).write_bytes(msgspec.json.encode(made))


def add_prototypes(folder: Path, known: Prototypes) -> None:
    """Write prototypes into a bundle, and into its manifest."""
    paths = write_prototypes(folder / FOLDER, known.name, known.vectors, known.labels)
    stated = {
        path.relative_to(folder).as_posix(): {"sha256": digest([path]), "bytes": path.stat().st_size} for path in paths
    }
    edit_manifest(folder, lambda manifest: manifest["files"].update(stated))


def image_array(*, side: int = 8, seed: int = 0) -> npt.NDArray[np.uint8]:
    """A uint8 image [side, side, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def empty_block() -> Block:
    """A block of zeros for the bundle that :func:`write_bundle` writes by default."""
    return Block(
        np.zeros((1, 3, 8, 8), np.float32),
        np.zeros((4, 3, 8, 8), np.float32),
        np.zeros((1, 6), np.float32),
        np.zeros(4, np.int64),
    )


def _weights(side: int, dimension: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(7).standard_normal((3 * side**2, dimension)).astype(np.float32)


def _channels(values: tuple[float, ...]) -> Floats:
    return np.array(values).reshape(1, 3, 1, 1)


def _value(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
