"""A bundle against this machine: is it whole, which of its plans can run, does it fit into memory?"""

from pathlib import Path

from fs_runtime.backends.cuda.slot import slots_bytes
from fs_runtime.bundle import Bundle, Engine, Manifest, read_bundle
from fs_runtime.bundle.engines import EngineHost, incompatibility
from fs_runtime.cuda_driver import Driver
from fs_runtime.doctor.check import Check, judged
from fs_runtime.errors import BundleError

_MEMINFO = Path("/proc/meminfo")


def open_bundle(path: Path) -> tuple[Bundle | None, Check]:
    """The bundle, if it can be read, and what was found."""
    try:
        bundle = read_bundle(path)
    except BundleError as error:
        what, _, remedy = str(error).rpartition(": ")
        return None, Check("bundle", "failed", "whole", what or str(error), remedy or "export the bundle again")
    actual = f"{len(bundle.manifest.graphs)} graph(s), {len(bundle.manifest.engines)} plan(s), hashes right"
    return bundle, Check("bundle", "ok", "whole", actual)


def check_engines(bundle: Bundle, driver: Driver, versions: dict[str, str], *, needed: bool) -> list[Check]:
    """Each plan against TensorRT and the GPU here; where plans are needed, one that runs is enough."""
    engines = bundle.manifest.engines
    faults = {engine.file: _fault(engine, driver, versions) for engine in engines}
    lacking = needed and all(faults.values())
    checks = [
        judged(
            f"plan.{engine.file.split('/')[-2]}",
            faults[engine.file] is None,
            needed=lacking,
            expected=f"{engine.builder} {engine.version}, compute capability {engine.compute_capability}",
            actual=faults[engine.file] or "can run here",
            remedy=f"fs-export build {bundle.root} for this GPU and TensorRT, or use --device cpu",
        )
        for engine in engines
    ]
    if needed and not engines:
        remedy = f"fs-export build {bundle.root}, or use --device cpu"
        checks.append(Check("plan", "failed", "a plan for this GPU", "the bundle has none", remedy))
    return checks


def _fault(engine: Engine, driver: Driver, versions: dict[str, str]) -> str | None:
    version = versions.get(engine.builder)
    if version is None:
        return f"{engine.builder} is not installed"
    if version.startswith("!"):
        return f"{engine.builder} does not load ({version[1:]})"
    if not driver.gpus:
        return driver.problem
    faults = [
        incompatibility(engine, EngineHost(engine.builder, version, gpu.compute_capability)) for gpu in driver.gpus
    ]
    return None if None in faults else faults[0]


def check_memory(manifest: Manifest, driver: Driver, *, on_gpu: bool, plans: bool = False) -> Check:
    """Free memory against what the bundle takes beside the graph's activations, which depend on the encoder.

    On a GPU either a plan's weights lie there, or, without ``plans``, the graph's. Of several GPUs one is enough.
    """
    need, free = _need(manifest, on_gpu=on_gpu, plans=plans), _free(driver, on_gpu=on_gpu)
    where = "GPU memory" if on_gpu else "memory"
    expected = f"{need / 2**20:.0f} MiB of {where}, and the graph's activations"
    if not free:
        return Check(f"memory.{'gpu' if on_gpu else 'cpu'}", "absent", expected, f"free {where} cannot be told")
    fitting = [name for name, size in free.items() if need <= size]
    each = ", ".join(f"{name} {size / 2**20:.0f} MiB free".strip() for name, size in free.items())
    only = f": choose one with --device ({', '.join(fitting)})" if 0 < len(fitting) < len(free) else ""
    return judged(
        f"memory.{'gpu' if on_gpu else 'cpu'}",
        bool(fitting),
        needed=True,
        expected=expected,
        actual=each + only,
        remedy=f"free {where}, or export with a smaller --noise-batch",
    )


def _need(manifest: Manifest, *, on_gpu: bool, plans: bool) -> int:
    """Bytes of all but a clean reference.

    On a GPU weights and two blocks; on the CPU weights, two noise batches, outputs and the Gram law's matrix.
    """
    n, images, dimension = manifest.noise_batch, manifest.images, manifest.dimension
    weights = max((graph.bytes for graph in manifest.graphs), default=0)
    if plans:
        weights = max((engine.bytes for engine in manifest.engines), default=weights)
    if on_gpu:
        return weights + slots_bytes(manifest)
    noise = 2 * 4 * n * 3 * manifest.height * manifest.width
    outputs = 4 * dimension * (images + (n if manifest.has_features else 0))
    gram = 0 if not manifest.has_features else 8 * dimension * min(dimension, 4096)
    return weights + noise + outputs + gram


def _free(driver: Driver, *, on_gpu: bool) -> dict[str, int]:
    """Bytes free on each GPU by its name for ``--device``, or of this machine; none where it cannot be told."""
    if on_gpu:
        return {f"cuda:{gpu.index}": gpu.free for gpu in driver.gpus if gpu.free is not None}
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return {}
    available = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return {"": available[0]} if available else {}
