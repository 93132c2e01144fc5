"""Opening a bundle's graph, or a plan of it, on the backend that was asked for."""

from fs_runtime.backends.base import Backend
from fs_runtime.backends.device import Device
from fs_runtime.backends.registry import find_backend
from fs_runtime.bundle import Bundle, Graph
from fs_runtime.errors import BackendError


def open_backend(name: str, bundle: Bundle, graph: Graph, *, device: str, threads: int) -> Backend:
    """Open ``graph``.

    Args:
        name: of the backend. ``"auto"`` is ``"tensorrt"`` where the bundle lists a plan for that very GPU and a
            TensorRT installed here, else ``"onnxruntime"``. It is chosen by these facts alone: one that then does not
            open is an error, and no other is tried. A TensorRT that is installed for such a plan but does not load is
            an error too; one that is not installed, or of another version, is passed over.
        bundle: a bundle that was read and checked.
        graph: its smoothed graph.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
        threads: for the graph on the CPU.

    Raises:
        BackendError: the backend or the device cannot run here.
        BundleError: the graph or plan is not what the manifest says.
    """
    where = Device.parse(device)
    if name == "auto" and where.kind == "cuda" and _has_plan(bundle, where.index):
        name = "tensorrt"
    return find_backend(name, device)(bundle, graph, device=device, threads=threads)


def _has_plan(bundle: Bundle, index: int) -> bool:
    """Whether a plan of the bundle runs on the GPU with this number; asking costs nothing where there is no plan."""
    if not bundle.manifest.engines:
        return False
    from fs_runtime.backends.tensorrt.choice import fitting_plans
    from fs_runtime.cuda_driver import ask_driver

    gpus = ask_driver().gpus
    if index >= len(gpus):
        return False
    fitting = fitting_plans(bundle.manifest.engines, gpus[index])
    if fitting.broken and not fitting.found:
        raise BackendError(
            f"--backend auto would take a plan of {bundle.root} for {gpus[index].name}, but {fitting.broken[-1]}; or "
            "say --backend onnxruntime"
        )
    return bool(fitting.found)
