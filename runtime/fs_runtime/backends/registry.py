"""Backends by name and kind of device. A backend's module is imported only when it is asked for.

A new backend is one class in a module of its own, decorated with :func:`register` and listed in ``_MODULES``, or in an
entry point of another package (docs/backends.md).
"""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
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
ENTRY_POINTS = "fs_runtime.backends"
"""Group of the entry points of other packages: each is a backend's name, and the module that registers it."""

_BACKENDS: dict[tuple[str, str], type[Backend]] = {}


def register(name: str, kind: str) -> Callable[[AnyBackend], AnyBackend]:
    """Class decorator: make a backend available under ``name`` for a kind of device.

    Raises:
        BackendError: the name is one of this package's own backends, or another module has registered it already.
    """

    def remember(backend: AnyBackend) -> AnyBackend:
        module, key = backend.__module__, (name, kind)
        if name in BACKENDS and module != _MODULES.get(key):
            raise BackendError(
                f"{module} registers a backend as {name} on {kind}, but {name} is one of fs_runtime's own: give it "
                "another name"
            )
        if key in _BACKENDS and (former := _BACKENDS[key].__module__) != module:
            raise BackendError(
                f"{former} and {module} both register a backend as {name} on {kind}: give one of them another name, or "
                "uninstall one"
            )
        _BACKENDS[key] = backend
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
    key = wanted, kind
    if key in _MODULES:
        import_module(_MODULES[key])
    elif wanted not in BACKENDS:
        _import_installed(wanted)
    if key not in _BACKENDS:
        kinds = sorted({other for named, other in (*_MODULES, *_BACKENDS) if named == wanted})
        choice = " or ".join("cuda, or cuda:1" if other == "cuda" else other for other in kinds)
        raise BackendError(f"the backend {name} does not run on the device {device!r}: use --device {choice}")
    return _BACKENDS[key]


def _import_installed(name: str) -> None:
    """Import the module of another package that registers this backend; none takes the place of one of here."""
    entries = [entry for entry in entry_points(group=ENTRY_POINTS) if entry.name not in BACKENDS]
    found = [entry for entry in entries if entry.name == name]
    if not found:
        names = dict.fromkeys((*BACKENDS, *(entry.name for entry in entries)))
        raise BackendError(f"there is no backend {name!r}: choose one of auto, {', '.join(names)}")
    if len(found) > 1:
        offers = " and ".join(f"{_package(entry)} ({entry.value})" for entry in found)
        raise BackendError(f"the backend {name} is offered by {offers}: uninstall all but one")
    try:
        found[0].load()
    except BackendError:
        raise
    except Exception as error:  # another's package can raise anything
        raise _broken(found[0], f"cannot be loaded ({type(error).__name__}: {error})") from error
    if not any(named == name for named, _ in _BACKENDS):
        raise _broken(found[0], f"is not registered by {found[0].value}")


def _broken(entry: EntryPoint, what: str) -> BackendError:
    return BackendError(
        f"the backend {entry.name} of {_package(entry)} {what}: mend or install it again, or choose another"
    )


def _package(entry: EntryPoint) -> str:
    return "another package" if entry.dist is None else f"the package {entry.dist.name}"
