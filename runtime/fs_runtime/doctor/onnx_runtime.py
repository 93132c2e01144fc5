"""ONNX Runtime and its providers that really load: its own list names those it was compiled with."""

from typing import Any

from fs_runtime.backends.provider_library import CUDNN_PAIRING, load_fault, missing_library, preload
from fs_runtime.doctor.check import Check, judged
from fs_runtime.doctor.packages import first_line

# y = Identity(x), x a float of shape [1]; opset 13.
_TINY = bytes.fromhex(
    "08073a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a020801620f0a0179120a0a08080112040a02080142040a00100d"
)
_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_REMEDIES = {
    _CPU: "pip install --force-reinstall 'fs-runtime[cpu]', or 'fs-runtime[gpu]' on a GPU server; not both",
    _CUDA: "pip uninstall onnxruntime; pip install 'fs-runtime[gpu]', with CUDA 13 and cuDNN 9",
}


def check_onnx_runtime(*, needs_cpu: bool, needs_cuda: bool) -> list[Check]:
    """ONNX Runtime, and every provider that it lists, opened."""
    try:
        import onnxruntime as ort
    except Exception as error:  # a broken package can raise anything
        return [
            judged(
                "onnxruntime",
                False,
                needed=needs_cpu or needs_cuda,
                expected="installed",
                actual=first_line(error),
                remedy=_REMEDIES[_CUDA if needs_cuda else _CPU],
            )
        ]
    ort.set_default_logger_severity(4)
    preload(ort)
    listed = ort.get_available_providers()
    checks = [Check("onnxruntime", "ok", "installed", f"{ort.__version__}, lists {', '.join(listed)}")]
    for provider in dict.fromkeys((_CPU, _CUDA, *listed)):
        needed = (provider == _CPU and needs_cpu) or (provider == _CUDA and needs_cuda)
        if provider not in listed and not needed and provider == _CUDA:
            continue
        checks.append(_check_provider(ort, provider, provider in listed, needed))
    return checks


def _check_provider(ort: Any, provider: str, listed: bool, needed: bool) -> Check:
    fault = _fault(ort, provider) if listed else "not compiled in"
    name = f"onnxruntime.{provider.removesuffix('ExecutionProvider').lower()}"
    return judged(
        name,
        not fault,
        needed=needed,
        expected=f"{provider} loads",
        actual=fault or "loads",
        remedy=_remedy(provider, fault),
    )


def _remedy(provider: str, fault: str) -> str:
    remedy = _REMEDIES.get(provider, f"install what {provider} needs, or leave it")
    return f"{remedy}. {CUDNN_PAIRING}" if fault.startswith("libcudnn") else remedy


def _fault(ort: Any, provider: str) -> str:
    """Why a provider cannot be used; empty if it can. Some open without all that they need to run."""
    opened, said = _open(ort, provider)
    instead = "" if opened[:1] == [provider] else said or f"a session opened {', '.join(opened)} instead"
    return _missing(ort, provider) or instead


def _open(ort: Any, provider: str) -> tuple[list[str], str]:
    """The providers of a tiny session that asks for ``provider``, or why there is none."""
    try:
        session = ort.InferenceSession(_TINY, providers=[provider], enable_fallback=0)
    except Exception as error:  # its exception types are not public
        return [], first_line(error)
    return list(session.get_providers()), ""


def _missing(ort: Any, provider: str) -> str:
    """What a provider lacks: ONNX Runtime only logs it, but the system's loader names it."""
    fault = load_fault(ort, provider)
    if fault is None:
        return ""
    missing = missing_library(fault)
    return f"{missing} is not found" if missing else first_line(fault)
