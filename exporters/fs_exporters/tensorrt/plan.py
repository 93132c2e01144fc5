"""From a network to the bytes of a plan."""

from typing import Any

from fs_exporters.tensorrt.library import BuilderLibrary, errors_of
from fs_exporters.tensorrt.network import ParsedNetwork
from fs_runtime.bundle.manifest import EngineSettings
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
