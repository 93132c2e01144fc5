"""The parity gate: the original module and the graph on the same image and the same noise."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from fs_exporters.graph import smoothed_graph
from fs_exporters.parity.emulation import EMULATION, NOT_EMULATED, emulated
from fs_exporters.parity.errors import ParityError
from fs_exporters.parity.independence import check_independence
from fs_exporters.parity.thresholds import THRESHOLDS, Thresholds
from fs_models.encoders import EncoderAdapter
from fs_models.gsb import Booster, no_booster
from fs_runtime.backends import Backend, Block, BlockResult, find_backend
from fs_runtime.bundle import Bundle
from fs_runtime.bundle.manifest import Graph, Manifest, Parity
from fs_runtime.certification import CertificationError, certify_cosines, reference_of
from fs_runtime.noise import NoiseBlocks, Stream
from fs_runtime.preprocess import prepare, resize

ALPHA = 1e-3
PARITY_DRAWS = 64
"""Draws that the certificates are compared on; half as many come before them as the pilot."""

LEAST_PARITY_DRAWS = 4
CERTIFYING_DRAWS = 32
"""Fewer draws certify nothing at ``ALPHA``, so no certificates are compared."""

_SEED = 0
_IMAGE = "seeded synthetic image: random colours on a coarse grid, enlarged bicubically"
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Pair:
    """The same block by the original module and by the graph."""

    original: BlockResult
    graph: BlockResult
    draws: npt.NDArray[np.int64]
    """[K] draws of each image in the block."""


def measure_bundle(
    bundle: Bundle,
    encoder: EncoderAdapter,
    *,
    threads: int,
    draws: int = PARITY_DRAWS,
    booster: Booster | None = None,
) -> Parity:
    """The parity of a bundle's smoothed graph with its encoder and booster; arguments as of :func:`measure_parity`.

    ONNX Runtime runs the graph; a bf16 graph, which it cannot run, as fp32 with every result rounded to bf16.

    Raises:
        ParityError: the graph's draws see each other, which the encoder's may do alike.
    """
    graph = bundle.graph("smoothed")
    return _measure(bundle, graph, encoder, booster or no_booster(), threads=threads, draws=draws)


def measure_bare(bundle: Bundle, encoder: EncoderAdapter, *, threads: int) -> Parity:
    """The parity of a bundle's ``clean`` graph with the bare encoder, on a few draws; errors as of the smoothed one."""
    bare = Bundle(bundle.root, bundle.manifest.bare, bundle.manifest_sha256)
    return _measure(bare, bare.graph("clean"), encoder, no_booster(), threads=threads, draws=LEAST_PARITY_DRAWS)


def _measure(
    bundle: Bundle, graph: Graph, encoder: EncoderAdapter, booster: Booster, *, threads: int, draws: int
) -> Parity:
    module = smoothed_graph(encoder, booster, images=bundle.manifest.images)
    open_backend = find_backend("onnxruntime")
    if graph.precision != "bf16":
        with open_backend(bundle, graph, device="cpu", threads=threads) as backend:
            measured = measure_parity(module, backend, bundle.manifest, graph, threads=threads, draws=draws)
            _check_draws_apart(backend, bundle.manifest, graph, threads=threads)
            return measured
    with (
        emulated(bundle, graph) as (stand_in, stand_in_graph),
        open_backend(stand_in, stand_in_graph, device="cpu", threads=threads) as backend,
    ):
        measured = measure_parity(module, backend, bundle.manifest, graph, threads=threads, draws=draws)
        _check_draws_apart(backend, bundle.manifest, graph, threads=threads)
        return msgspec.structs.replace(measured, ran=EMULATION, not_checked=(*NOT_EMULATED, *measured.not_checked))


def measure_parity(
    module: nn.Module,
    backend: Backend,
    manifest: Manifest,
    graph: Graph,
    *,
    threads: int,
    draws: int = PARITY_DRAWS,
) -> Parity:
    """Run both on the same noise and compare every output, each draw's feature, and the certificates.

    Args:
        module: the smoothed graph's module, in evaluation mode.
        backend: the graph's ONNX file, opened.
        manifest: shapes, sigma and noise batch.
        graph: which graph of the manifest it is.
        threads: threads that make the noise.
        draws: draws after the pilot; with fewer than ``CERTIFYING_DRAWS`` no certificates are compared.
    """
    allowed = THRESHOLDS[graph.precision]
    pixel_values = np.concatenate([_prepared_image(manifest, number) for number in range(manifest.images)])
    image_index = _image_index(manifest)
    shape = (manifest.noise_batch, 3, manifest.height, manifest.width)
    reference = np.zeros((manifest.images, manifest.dimension), np.float32)
    pilot_draws = draws // 2
    draws_of_each = np.bincount(image_index, minlength=manifest.images)
    original = _torch_runner(module)
    with NoiseBlocks(sigma=manifest.sigma, shape=shape, threads=threads) as noise:

        def blocks(stream: Stream, draws: int) -> Iterator[Block]:
            return (Block(pixel_values, block, reference, image_index) for block in noise.blocks(_SEED, stream, draws))

        def run(stream: Stream, draws: int) -> list[_Pair]:
            return [_Pair(original(block), backend.run(block), draws_of_each) for block in blocks(stream, draws)]

        means = np.stack([original(block).feature_sum for block in blocks(Stream.PILOT, pilot_draws)]).mean(
            axis=0, dtype=np.float64
        )
        reference = np.stack([reference_of(mean) for mean in means]).astype(np.float32)
        pilot, certify = run(Stream.PILOT, pilot_draws), run(Stream.CERTIFY, draws)

    compared = draws >= CERTIFYING_DRAWS
    angles = [
        _angle(_cosines(pilot, side), _cosines(certify, side), manifest.sigma) if compared else None
        for side in (lambda pair: pair.original, lambda pair: pair.graph)
    ]
    cosines = np.concatenate([_draw_cosines(pair) for pair in (*pilot, *certify)])
    return Parity(
        graph=graph.file,
        ran=f"{backend.info.name} {backend.info.version}, {backend.info.device}",
        not_checked=() if compared else (f"the change of the certificate: {draws} draws certify nothing",),
        image=_IMAGE,
        seed=f"{_SEED:032x}",
        pilot=len(pilot) * manifest.noise_batch,
        draws=len(certify) * manifest.noise_batch,
        alpha=ALPHA,
        smallest_cosine=float(cosines.min()),
        smallest_cosine_allowed=allowed.smallest_cosine,
        mean_cosine=float(cosines.mean()),
        mean_cosine_allowed=allowed.mean_cosine,
        largest_difference=_largest_differences([*pilot, *certify], allowed),
        largest_difference_allowed=allowed.largest_difference,
        angle_original=angles[0],
        angle_graph=angles[1],
        angle_change_allowed=allowed.angle_change,
    )


def check_parity(parity: Parity) -> None:
    """The gate.

    Raises:
        ParityError: some figure is beyond what is allowed; the message names each.
    """
    faults = []
    # Written as "not within", so that a NaN fails.
    if not parity.smallest_cosine >= parity.smallest_cosine_allowed:
        faults.append(f"a draw's feature has cosine {parity.smallest_cosine:.7f} < {parity.smallest_cosine_allowed}")
    for name, difference in parity.largest_difference.items():
        allowed = parity.largest_difference_allowed[name]
        if not difference <= allowed:
            faults.append(f"{name} differs by {difference:.3g} > {allowed:g}")
    if not parity.mean_cosine >= parity.mean_cosine_allowed:
        faults.append(f"the draws' features have mean cosine {parity.mean_cosine:.7f} < {parity.mean_cosine_allowed}")
    change = angle_change(parity)
    if change is not None and not change <= parity.angle_change_allowed:
        faults.append(f"the certified angle changes by {change:.3g} > {parity.angle_change_allowed:g} rad")
    if faults:
        raise ParityError(f"{parity.graph} does not compute what the original encoder computes: {'; '.join(faults)}")


def angle_change(parity: Parity) -> float | None:
    """By how much the certified angle differs, in radians; None where no certificates were compared."""
    if parity.angle_graph is None or parity.angle_original is None:
        return None
    return abs(parity.angle_graph - parity.angle_original)


def _check_draws_apart(backend: Backend, manifest: Manifest, graph: Graph, *, threads: int) -> None:
    pixel_values = np.concatenate([_prepared_image(manifest, number) for number in range(manifest.images)])
    shape = (manifest.noise_batch, 3, manifest.height, manifest.width)
    # Equal coordinates: any direction of a feature shows in its cosine.
    reference = np.full((manifest.images, manifest.dimension), manifest.dimension**-0.5, np.float32)
    with NoiseBlocks(sigma=manifest.sigma, shape=shape, threads=threads) as noise:
        first, other = (block.copy() for block in noise.blocks(_SEED, Stream.PILOT, 2 * manifest.noise_batch))
    block = Block(pixel_values, first, reference, _image_index(manifest))
    check_independence(backend, block, other, file=graph.file)


def _torch_runner(module: nn.Module) -> Callable[[Block], BlockResult]:
    def run(block: Block) -> BlockResult:
        with torch.inference_mode():
            mixes = len(block.pixel_values) > 1
            last = (block.reference, block.image_index) if mixes else (block.reference[0],)
            arrays = (torch.from_numpy(array) for array in (block.pixel_values, block.noise, *last))
            outputs = [output.numpy() for output in module(*arrays)]
        features = outputs[3] if len(outputs) > 3 else None
        sums = np.atleast_2d(outputs[1])
        return BlockResult(cosine=outputs[0], feature_sum=sums, raw_norm=outputs[2], features=features)

    return run


def _cosines(pairs: list[_Pair], side: Callable[[_Pair], BlockResult]) -> Floats:
    return np.concatenate([side(pair).cosine.astype(np.float64) for pair in pairs])


def _angle(pilot: Floats, cosines: Floats, sigma: float) -> float:
    """Certified angle at radius sigma / 2, NaN (which the gate refuses) where the cosines are none."""
    try:
        return certify_cosines(pilot, cosines, sigma=sigma, alpha=ALPHA, bound="angle-law").angle(0.5 * sigma)
    except CertificationError:
        return math.nan


def _draw_cosines(pair: _Pair) -> Floats:
    """Cosine between the two features of each draw; of each image's sums where the graph gives no features."""
    if pair.original.features is None or pair.graph.features is None:
        sides = (pair.original.feature_sum, pair.graph.feature_sum)
    else:
        sides = (pair.original.features, pair.graph.features)
    first, second = (side.astype(np.float64) for side in sides)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray((first * second).sum(axis=1) / norms)


def _largest_differences(pairs: list[_Pair], allowed: Thresholds) -> dict[str, float]:
    largest: dict[str, float] = {}
    for pair in pairs:
        for name in allowed.largest_difference:
            original, graph = getattr(pair.original, name), getattr(pair.graph, name)
            if original is None:
                continue
            scale = {"raw_norm": original, "feature_sum": pair.draws[:, None]}.get(name, 1.0)
            # maximum, unlike max(), keeps a NaN.
            difference = float(np.max(np.abs((original - graph) / scale)))
            largest[name] = float(np.maximum(largest.get(name, 0.0), difference))
    return largest


def _image_index(manifest: Manifest) -> npt.NDArray[np.int64]:
    """The image [N] of each draw: about as many of each, in no order that a graph could have by itself."""
    in_turn = np.arange(manifest.noise_batch, dtype=np.int64) % manifest.images
    return np.random.Generator(np.random.Philox(7)).permutation(in_turn)


def _prepared_image(manifest: Manifest, number: int) -> npt.NDArray[np.float32]:
    """Pixels [1, 3, H, W] of one of the gate's images."""
    coarse = np.random.Generator(np.random.Philox(7 + number)).random((8, 8, 3), np.float32)
    image = resize(coarse, manifest.height, manifest.width, "bicubic").clip(0.0, 1.0)
    return prepare(image, manifest.preprocess).pixel_values
