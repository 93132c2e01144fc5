"""Backends by name and kind of device. A backend's module is imported only when it is asked for.

A new backend is one class in a module of its own, decorated with :func:`register` and listed in ``_MODULES``.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TypeVar

from fs_runtime.backends.base import Backend
from fs_runtime.backends.device import Device
from fs_runtime.errors import BackendError

AnyBackend = TypeVar("AnyBackend", bound=type[Backend])

_MODULES = {
    ("onnxruntime", "cpu"): "fs_runtime.backends.onnxruntime.cpu",
    ("onnxruntime", "cuda"): "fs_runtime.backends.onnxruntime.cuda",
    ("onnxruntime-tensorrt", "cuda"): "fs_runtime.backends.onnxruntime.tensorrt",
    ("tensorrt", "cuda"): "fs_runtime.backends.tensorrt.backend",
}
BACKENDS = tuple(dict.fromkeys(name for name, _ in _MODULES))
"""Their names."""

_BACKENDS: dict[tuple[str, str], type[Backend]] = {}


def register(name: str, kind: str) -> Callable[[AnyBackend], AnyBackend]:
    """Class decorator: make a backend available under ``name`` for a kind of device."""

    def remember(backend: AnyBackend) -> AnyBackend:
        _BACKENDS[name, kind] = backend
        return backend

    return remember


def find_backend(name: str, device: str = "cpu") -> type[Backend]:
    """The backend called ``name`` for ``device``; ``"auto"`` is ONNX Runtime.

    What ``"auto"`` means for a bundle on a GPU is :func:`fs_runtime.backends.open_backend`'s to say.

    Raises:
        BackendError: there is no such backend or device, they do not go together, or a library is not installed.
    """
    kind = Device.parse(device).kind
    wanted = "onnxruntime" if name == "auto" else name
    if wanted not in BACKENDS:
        raise BackendError(f"there is no backend {name!r}: choose one of auto, {', '.join(BACKENDS)}")
    key = wanted, kind
    if key not in _MODULES:
        raise BackendError(f"the backend {name} does not run on the device {device!r}: use --device cuda, or cuda:1")
    if key not in _BACKENDS:
        import_module(_MODULES[key])
    return _BACKENDS[key]
