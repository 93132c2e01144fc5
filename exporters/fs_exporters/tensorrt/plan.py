"""From a network to the bytes of a plan, and what a manifest says of it."""

import hashlib
from typing import Any

from fs_exporters.tensorrt.library import BuilderLibrary, errors_of
from fs_exporters.tensorrt.network import ParsedNetwork
from fs_exporters.tensorrt.observed import observed_precision
from fs_runtime.bundle import Bundle, Engine
from fs_runtime.bundle.manifest import EngineSettings, Graph
from fs_runtime.errors import BackendError


def build_plan(
    library: BuilderLibrary,
    parsed: ParsedNetwork,
    settings: EngineSettings,
    *,
    compute_capability: str,
    threads: int,
) -> bytes:
    """Build one plan.

    Args:
        library: what builds.
        parsed: the network; building does not change it.
        settings: of the builder.
        compute_capability: of the GPUs it shall run on, as ``8.9``; full TensorRT builds for the GPU here only.
        threads: of the builder.

    Raises:
        BackendError: the builder refuses; the message is its own.
    """
    from polygraphy.exception import PolygraphyException

    with errors_of() as lines:
        parsed.builder.max_threads = threads
        try:
            config = _config(library, parsed, settings, compute_capability)
            plan = library.polygraphy.engine_bytes_from_network(
                (parsed.builder, parsed.network), config=lambda _builder, _network: config
            )
        except PolygraphyException as error:
            reason = " ".join((lines or [str(error)])[0].split())
            raise BackendError(
                f"{library.name} cannot build for compute capability {compute_capability} ({reason}): try another "
                "--compute-capability or a larger --workspace, or serve the bundle with ONNX Runtime"
            ) from error
    return bytes(plan)


def stated_engine(
    library: BuilderLibrary,
    parsed: ParsedNetwork,
    plan: bytes,
    settings: EngineSettings,
    *,
    bundle: Bundle,
    graph: Graph,
    file: str,
    compute_capability: str,
) -> Engine:
    """A plan as the manifest lists it, not yet judged: neither parity nor why there is none.

    Args:
        library: what built it.
        parsed: the network that it is of.
        plan: its bytes.
        settings: of the builder.
        bundle: that it belongs to.
        graph: of that bundle, which the network was parsed from.
        file: where the plan lies, relative to the bundle.
        compute_capability: of the GPUs it runs on.
    """
    return Engine(
        file=file,
        sha256=hashlib.sha256(plan).hexdigest(),
        bytes=len(plan),
        builder=library.target,
        version=library.version,
        graph_sha256=graph.sha256,
        precision_requested=graph.precision,
        precision_observed=observed_precision(parsed.network).precision,
        compute_capability=compute_capability,
        noise_batch=bundle.manifest.noise_batch,
        settings=settings,
    )


def _config(library: BuilderLibrary, parsed: ParsedNetwork, settings: EngineSettings, compute_capability: str) -> Any:
    trt = library.trt
    limits = None
    if settings.workspace_mb is not None:
        limits = {trt.MemoryPoolType.WORKSPACE: settings.workspace_mb << 20}
    create = library.polygraphy.CreateConfig(
        tf32=False,  # with it, "fp32" would multiply with ten bits
        memory_pool_limits=limits,
        version_compatible=settings.version_compatible,
        hardware_compatibility_level=(
            trt.HardwareCompatibilityLevel.AMPERE_PLUS if settings.hardware_compatible else None
        ),
    )
    config = create(parsed.builder, parsed.network)
    if library.target == "tensorrt-rtx":
        config.num_compute_capabilities = 1
        name = f"SM{compute_capability.replace('.', '')}"
        if not config.set_compute_capability(getattr(trt.ComputeCapability, name), 0):
            raise BackendError(f"{library.name} refuses compute capability {compute_capability}: choose another")
    return config
