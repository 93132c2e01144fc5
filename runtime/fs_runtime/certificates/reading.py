"""A certificate of whichever kind a text holds."""

from pathlib import Path

import msgspec

from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.certificates.prediction import PredictionCertificate
from fs_runtime.certificates.prediction_wire import SCHEMA as PREDICTION

AnyCertificate = FeatureCertificate | PredictionCertificate


class _Schema(msgspec.Struct):
    schema: str


def parse_certificate(text: str, name: str, folder: Path) -> AnyCertificate:
    """The certificate in ``text``, called ``name`` in errors; a reference file of its lies in ``folder``.

    Raises:
        InputError: the text is no certificate.
    """
    try:
        schema = msgspec.json.decode(text, type=_Schema).schema
    except (msgspec.DecodeError, ValueError, RecursionError):
        schema = ""  # the reader says what is wrong
    kind = PredictionCertificate if schema == PREDICTION else FeatureCertificate
    return kind.parse(text, name, folder)
