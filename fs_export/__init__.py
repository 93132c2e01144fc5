"""Turn a pretrained image encoder into a certifiably smoothed bundle.

    import fs_export

    fs_export.export("efficientnet-lite0", sigma=0.1, noise_batch=32, output="bundle/")

Importing the package is cheap; PyTorch loads with the first export.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fs_exporters.evaluation import EvaluationPlaces, EvaluationSettings
    from fs_exporters.evaluation import evaluate_model as evaluate
    from fs_exporters.parity import ParityError
    from fs_exporters.pipeline import ExportResult
    from fs_exporters.pipeline import export_bundle as export
    from fs_exporters.stage import Stage
    from fs_exporters.verify import verify_bundle as verify
    from fs_models.prototypes import PrototypeRequest

_HOMES = {
    "EvaluationPlaces": ("fs_exporters.evaluation", "EvaluationPlaces"),
    "EvaluationSettings": ("fs_exporters.evaluation", "EvaluationSettings"),
    "ExportResult": ("fs_exporters.pipeline", "ExportResult"),
    "ParityError": ("fs_exporters.parity", "ParityError"),
    "PrototypeRequest": ("fs_models.prototypes", "PrototypeRequest"),
    "Stage": ("fs_exporters.stage", "Stage"),
    "evaluate": ("fs_exporters.evaluation", "evaluate_model"),
    "export": ("fs_exporters.pipeline", "export_bundle"),
    "verify": ("fs_exporters.verify", "verify_bundle"),
}

__all__ = [
    "EvaluationPlaces",
    "EvaluationSettings",
    "ExportResult",
    "ParityError",
    "PrototypeRequest",
    "Stage",
    "evaluate",
    "export",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module, attribute = _HOMES[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
