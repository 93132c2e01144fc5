"""Reading results: the JSON lines of ``fs-runtime certify --json``, and of ``classify`` and ``search``."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO, Literal

import msgspec
import numpy as np

from fs_runtime.certificates.feature import SCHEMA, FeatureCertificate, Sha256
from fs_runtime.certificates.prediction import PredictionCertificate
from fs_runtime.certificates.prediction_wire import SCHEMA as PREDICTION_SCHEMA
from fs_runtime.certificates.settings import Fact
from fs_runtime.errors import InputError
from fs_runtime.plural import count

ERROR_SCHEMA: Literal["fs-runtime/error/1"] = "fs-runtime/error/1"
NO_REFERENCE = hashlib.sha256(b"").hexdigest()
"""Hash of a reference feature that was left out."""
LONGEST_LINE = 1 << 24
"""Bytes; a certificate with the longest reference that JSON lines hold has a hundredth of it."""


class SpentDraws(msgspec.Struct, frozen=True):
    """Draws that gave no certificate, and spent the alpha of their image all the same.

    Attributes:
        image_sha256: digest of the decoded pixels.
        settings: what was asked for, by name: ``graph`` (its hash), ``draws``, ``alpha`` and others.
    """

    image_sha256: Sha256
    settings: dict[str, Fact]


@dataclass(frozen=True)
class Failure:
    """An image that was not certified.

    Attributes:
        image: its path.
        error: why, in one sentence.
        spent: the draws that were made for it; None where it failed before any.
    """

    image: str
    error: str
    spent: SpentDraws | None = None


@dataclass(frozen=True)
class Results:
    """What a file of results holds.

    Attributes:
        certificates: of features, in the order of the lines, without their references, which no report shows.
        failures: images that failed, in the order of the lines.
        torn: whether the last line was cut short and left out.
        predictions: certificates of labels, in the order of the lines, without references as well.
    """

    certificates: tuple[FeatureCertificate, ...]
    failures: tuple[Failure, ...] = ()
    torn: bool = False
    predictions: tuple[PredictionCertificate, ...] = ()


class _Schema(msgspec.Struct):
    schema: str


class _Reference(msgspec.Struct):
    reference: msgspec.Raw


class _Failure(msgspec.Struct):
    image: str
    error: str
    spent: SpentDraws | None = None


def read_results(lines: IO[bytes], name: str) -> Results:
    """Read the JSON lines that ``fs-runtime certify``, ``classify`` or ``search`` wrote, in any mixture.

    A last line without its newline that does not parse is what a stopped run leaves: it is left out and reported.

    Args:
        lines: a binary stream.
        name: what messages call it.

    Raises:
        InputError: a line is no certificate and no error line, or there is no certificate at all.
    """
    certificates: list[FeatureCertificate] = []
    predictions: list[PredictionCertificate] = []
    failures: list[Failure] = []
    torn = False
    for number, line in _numbered(lines, name):
        try:
            item = read_prediction(line) if schema_of(line) == PREDICTION_SCHEMA else read_line(line)
        except InputError as error:
            torn = not line.endswith(b"\n")
            if torn:
                break
            raise InputError(f"{name}, line {number}: {error}") from error
        if isinstance(item, Failure):
            failures.append(item)
        elif isinstance(item, PredictionCertificate):
            predictions.append(_without_reference(item))
        else:
            certificates.append(item)
    if not certificates and not predictions:
        errors = f"only errors, of {count(len(failures), 'image')}"
        held = errors if failures else "no line that is whole" if torn else "nothing"
        raise InputError(
            f"{name} holds no certificate ({held}): make it with fs-runtime certify DIR IMAGES... --json > {name}"
        )
    return Results(tuple(certificates), tuple(failures), torn, tuple(predictions))


def _without_reference(prediction: PredictionCertificate) -> PredictionCertificate:
    feature = prediction.feature
    return prediction if feature is None else replace(prediction, feature=replace(feature, reference=np.empty(0)))


def _numbered(lines: IO[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := lines.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise InputError(f"{name}, line {number} is longer than {LONGEST_LINE} bytes: it is no certificate")
        if line.strip():
            yield number, line


def read_line(line: bytes) -> FeatureCertificate | Failure:
    """What one line holds: a certificate, without its reference feature, or an image that failed.

    Raises:
        InputError: neither.
    """
    schema = schema_of(line)
    if schema == ERROR_SCHEMA:
        return read_failure(line)
    if schema == PREDICTION_SCHEMA:
        raise InputError(
            "it is a prediction, of fs-runtime classify or search, not of a feature: give the output of fs-runtime "
            "certify --json"
        )
    if schema != SCHEMA:
        raise InputError(
            f"schema {schema!r} is not {SCHEMA}: give the output of fs-runtime certify --json, "
            "or the fs-runtime that wrote it"
        )
    certificate = FeatureCertificate.from_json(with_empty_reference(line))
    # Thousands of certificates fit into memory without their features.
    return replace(certificate, reference=np.empty(0))


def read_prediction(line: bytes) -> PredictionCertificate | Failure:
    """What one line of ``classify`` or ``search`` holds: a prediction, maybe without its reference, or a failure.

    Raises:
        InputError: neither.
    """
    schema = schema_of(line)
    if schema == ERROR_SCHEMA:
        return read_failure(line)
    if schema != PREDICTION_SCHEMA:
        raise InputError(f"schema {schema!r} is not {PREDICTION_SCHEMA}")
    fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    feature = bytes(fields.get("feature", b"null"))
    if feature.strip() != b"null":
        whole = with_empty_reference(feature)
        if whole.encode() != feature:
            # The reference was too long for the line, and the prediction is bound to it by its hash.
            fields["feature"] = msgspec.Raw(whole.encode())
            fields["reference_sha256"] = msgspec.Raw(b'"%s"' % NO_REFERENCE.encode())
    return PredictionCertificate.from_json(msgspec.json.encode(fields).decode("utf-8", "replace"))


def schema_of(line: bytes) -> str:
    """The schema that a line names.

    Raises:
        InputError: it is not JSON that names one.
    """
    try:
        return msgspec.json.decode(line, type=_Schema).schema
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"not JSON with a schema ({error}): give the output of fs-runtime certify --json") from error


def read_failure(line: bytes) -> Failure:
    """The image that failed, of which a line of schema :data:`ERROR_SCHEMA` is.

    Raises:
        InputError: it is none.
    """
    try:
        failure = msgspec.json.decode(line, type=_Failure)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"not an error line of schema {ERROR_SCHEMA} ({error})") from error
    return Failure(failure.image, failure.error, failure.spent)


def with_empty_reference(line: bytes) -> str:
    """The line as ``from_json`` takes it: a reference feature that is too long for JSON becomes an empty one."""
    try:
        missing = bytes(msgspec.json.decode(line, type=_Reference).reference).strip() == b"null"
    except (msgspec.DecodeError, RecursionError):
        return line.decode("utf-8", "replace")  # which from_json refuses, and says why
    if not missing:
        return line.decode("utf-8")
    fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    fields["reference"] = msgspec.Raw(b"[]")
    fields["reference_sha256"] = msgspec.Raw(b'"%s"' % NO_REFERENCE.encode())
    return msgspec.json.encode(fields).decode("utf-8")
