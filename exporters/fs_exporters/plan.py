"""What an export would write and need, without writing anything."""

import math
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from fs_exporters.bundle import check_free, check_writable, planned_prototypes
from fs_exporters.graph import smoothed_graph
from fs_exporters.parity import PARITY_DRAWS
from fs_exporters.pipeline import CLEAN, GRAPH, check_request
from fs_models.encoders import EncoderAdapter, EncoderSpec, LoadRequest, load_encoder
from fs_models.gsb import NONE, Booster, choose_booster
from fs_models.prototypes import PrototypeRequest, requested_prototypes
from fs_runtime.bundle import MANIFEST
from fs_runtime.bundle.manifest import Precision

# Copies of the fp32 weights at the peak, beside what loading takes: the module's own, and ONNX Runtime's, stored and
# packed (benchmarks/scale.py; for fp32 measured on ViT-B/32 and ViT-L/14, for the others reckoned on the safe side:
# the bf16 graph is widened once more, and quantising holds copies of its own).
_COPIES: dict[Precision, float] = {"fp32": 2.5, "fp16": 3.0, "bf16": 4.0, "int8": 6.0}
_SHRINKS: dict[Precision, int] = {"fp32": 1, "fp16": 2, "bf16": 2, "int8": 4}
_MEASURED_DRAWS = 4
_MANIFEST_BYTES = 4_000


@dataclass(frozen=True)
class ExportPlan:
    """What ``fs-export export`` would do.

    Attributes:
        spec: the encoder's facts.
        files: name and approximate bytes of every file of the bundle.
        memory: approximate peak resident memory in bytes.
        parity_seconds: approximate time of the parity gate, from draws measured here. Tracing is not estimated.
        noise_bytes: one noise batch, of which the runtime holds two.
        images: how many images' draws a noise batch mixes.
    """

    spec: EncoderSpec
    files: dict[str, int]
    memory: int
    parity_seconds: float
    noise_bytes: int
    images: int


def plan_export(
    request: LoadRequest,
    *,
    sigma: float,
    noise_batch: int,
    precision: Precision,
    output: str | Path,
    overwrite: bool,
    images: int = 1,
    prototypes: PrototypeRequest = PrototypeRequest(),  # noqa: B008  # it is frozen
    calibration: Path | None = None,
    parity_draws: int = PARITY_DRAWS,
    gsb: str | Path = NONE,
) -> ExportPlan:
    """Load the encoder, run a few draws through it, and say what an export would write and need.

    Raises:
        InputError: what :func:`export_bundle` would refuse before it starts to work.
    """
    check_request(sigma, noise_batch, precision, images, calibration, parity_draws)
    prototypes.check()
    check_free(Path(output), overwrite=overwrite)
    check_writable(Path(output))
    prototypes.check_model(request)
    encoder = load_encoder(request)
    spec = encoder.spec
    chosen = choose_booster(gsb, encoder, sigma)
    bare, added = (_weight_bytes(module) for module in (encoder, chosen.booster))
    weights = bare + added
    seconds, activations = _measure_draw(encoder, chosen.booster)
    noise = 4 * noise_batch * 3 * spec.height * spec.width
    mixing = _mixing_bytes(spec, noise_batch, images)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    files = {GRAPH: weights // _SHRINKS[precision], MANIFEST: _MANIFEST_BYTES}
    if chosen.kind is not None:
        files[CLEAN] = bare // _SHRINKS["fp32" if precision == "int8" else precision]
    files |= {path.name: path.stat().st_size for path in spec.config_files}
    files |= planned_prototypes(requested_prototypes(prototypes, encoder, sigma=sigma).sets)
    return ExportPlan(
        spec=spec,
        files=files,
        memory=int(base + (_COPIES[precision] - 1) * weights + noise_batch * activations + 2 * noise + mixing),
        # Each draw runs through the module and through the graph, the pilot's once more through the module.
        parity_seconds=2 * seconds * max(1.75 * parity_draws, 2.5 * noise_batch),
        noise_bytes=noise,
        images=images,
    )


def _mixing_bytes(spec: EncoderSpec, noise_batch: int, images: int) -> int:
    """What several images need beyond one: pixels and a reference for each, and in the graph pixels for each draw."""
    if images == 1:
        return 0
    pixels = 4 * 3 * spec.height * spec.width
    return images * (pixels + 4 * math.prod(spec.feature_shape)) + noise_batch * pixels


def _weight_bytes(module: nn.Module) -> int:
    """Of its fp32 weights."""
    return sum(tensor.numel() * 4 for tensor in module.state_dict().values() if tensor.is_floating_point())


def _measure_draw(encoder: EncoderAdapter, booster: Booster) -> tuple[float, float]:
    """Seconds and bytes of activations of one draw in PyTorch."""
    module = smoothed_graph(encoder, booster, images=1)
    pixels = torch.zeros(_MEASURED_DRAWS, 3, encoder.spec.height, encoder.spec.width)
    reference = torch.zeros(math.prod(encoder.spec.feature_shape))
    with torch.inference_mode():
        module(pixels[:1], pixels[:1], reference)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        module(pixels[:1], pixels, reference)
        seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds / _MEASURED_DRAWS, 1024 * (after - before) / _MEASURED_DRAWS
