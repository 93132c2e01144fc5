"""Serve and certify smoothed image features, without PyTorch.

    import fs_runtime

    with fs_runtime.load("bundle/") as encoder:
        certificate = encoder.certify("photo.jpg", draws=1024, alpha=1e-3)
        print(certificate.cosine(radius=0.05))

Importing the package is cheap: what a name needs is imported when the name is first used.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fs_runtime.bundle.prototypes import Prototypes
    from fs_runtime.certificates.feature import FeatureCertificate
    from fs_runtime.certificates.prediction import PredictionCertificate
    from fs_runtime.certification import Target
    from fs_runtime.certification.prediction import LabelTarget
    from fs_runtime.certifying import ImageResult
    from fs_runtime.encoder import SmoothedEncoder, SmoothedFeature, load
    from fs_runtime.errors import BackendError, BundleError, FsError, ImageError, InputError
    from fs_runtime.version import __version__

# ONNX Runtime 1.29 and later report the names and hashes of models to Microsoft, and leave an identifier in the home
# folder, unless this is set before it is imported. Whoever wants that sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOMES = {
    "FeatureCertificate": "fs_runtime.certificates.feature",
    "ImageResult": "fs_runtime.certifying",
    "LabelTarget": "fs_runtime.certification.prediction",
    "PredictionCertificate": "fs_runtime.certificates.prediction",
    "Prototypes": "fs_runtime.bundle.prototypes",
    "SmoothedEncoder": "fs_runtime.encoder",
    "SmoothedFeature": "fs_runtime.encoder",
    "Target": "fs_runtime.certification",
    "__version__": "fs_runtime.version",
    "load": "fs_runtime.encoder",
    "BackendError": "fs_runtime.errors",
    "BundleError": "fs_runtime.errors",
    "FsError": "fs_runtime.errors",
    "ImageError": "fs_runtime.errors",
    "InputError": "fs_runtime.errors",
}

__all__ = [
    "BackendError",
    "BundleError",
    "FeatureCertificate",
    "FsError",
    "ImageError",
    "ImageResult",
    "InputError",
    "LabelTarget",
    "PredictionCertificate",
    "Prototypes",
    "SmoothedEncoder",
    "SmoothedFeature",
    "Target",
    "__version__",
    "load",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
