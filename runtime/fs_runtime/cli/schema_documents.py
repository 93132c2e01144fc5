"""The JSON Schemas, made of the types that are written: ``python -m fs_runtime.cli.schema_documents`` writes the files.

Types give the fields, docstrings their descriptions, and the tables below what the checks in certificates/ demand.
"""

import inspect
import json
import math
import re
from pathlib import Path
from typing import Any

import msgspec

import fs_runtime.schemas
from fs_runtime.bench.results import BenchLine
from fs_runtime.certificates.feature import LARGEST_EMBEDDED
from fs_runtime.certificates.feature import _Wire as FeatureWire
from fs_runtime.certificates.feature_checks import SLACK
from fs_runtime.certificates.prediction_wire import Wire as PredictionWire
from fs_runtime.certification import AngleLaw, Cone, Fcsb, GramLaw
from fs_runtime.certification.prediction import LabelCone, MarginLaw, VoteLaw
from fs_runtime.cli.error_line import ErrorLine
from fs_runtime.cli.replay import ReplayLine
from fs_runtime.cli.smooth import SmoothedFeatureLine
from fs_runtime.noise import LARGEST_SIGMA
from fs_runtime.schemas import NAMES, file_name

Schema = dict[str, Any]

_BET: Schema = {"exclusiveMinimum": 0.0, "exclusiveMaximum": 1.0}
_ALPHA: Schema = {"exclusiveMinimum": 0.0, "exclusiveMaximum": 1.0}
_POSITIVE: Schema = {"exclusiveMinimum": 0.0}
_NOT_NEGATIVE: Schema = {"minimum": 0.0}
_SHARE: Schema = {"minimum": 0.0, "maximum": 1.0}
_ONE_OR_MORE: Schema = {"minimum": 1}
_COUNT: Schema = {"minimum": 0}
_DRAWS: dict[str, Schema] = {
    "sigma": {**_POSITIVE, "maximum": LARGEST_SIGMA},
    "alpha": _ALPHA,
    "draws": _ONE_OR_MORE,
    "most_draws": _ONE_OR_MORE,
    "pilot": _ONE_OR_MORE,
}
_UP_TO_ONE: Schema = {"minimum": 0.0, "maximum": 1.0 + SLACK}
_COSINE: Schema = {"minimum": -1.0 - SLACK, "maximum": 1.0 + SLACK}
# By type and field; "field[]" is about the elements.
_DEMANDS: dict[str, dict[str, Schema]] = {
    "FeatureCertificate": {
        **_DRAWS,
        "certified": {"maxItems": 6},
        "reference": {"minItems": 1, "maxItems": LARGEST_EMBEDDED},
    },
    "CertifiedPoint": {
        "radius": _NOT_NEGATIVE,
        "angle": {"minimum": 0.0, "maximum": math.pi},
        "cosine": {"minimum": -1.0, "maximum": 1.0},
    },
    "Target": {"radius": _NOT_NEGATIVE, "cosine": {"exclusiveMinimum": 0.0, "exclusiveMaximum": 1.0}},
    "LabelTarget": {"radius": _POSITIVE},
    "RobustnessScore": {"estimate": _SHARE, "lower": _SHARE, "upper": _SHARE},
    "ImageFacts": {
        "height": _ONE_OR_MORE,
        "width": _ONE_OR_MORE,
        "values": {"minimum": 3},
        "operator_norm": _POSITIVE,
        "resampling_error": _NOT_NEGATIVE,
        "grid_distance": _NOT_NEGATIVE,
    },
    "TailBounds": {
        "thresholds": {"minItems": 1},
        "thresholds[]": {"exclusiveMinimum": 0.0, "exclusiveMaximum": math.pi},
        "counts": {"minItems": 1},
        "counts[]": _COUNT,
        "draws": _ONE_OR_MORE,
        "alpha": _ALPHA,
        "priors": {"minItems": 1},
    },
    "BetaPrior": {"a": _POSITIVE, "b": _POSITIVE},
    "MomentBets": {
        "second_moment": {"minItems": 1, "maxItems": 64},
        "second_moment[]": _BET,
        "mean": {"minItems": 1, "maxItems": 64},
        "mean[]": _BET,
    },
    "GramLaw": {
        "cut": _COUNT,
        "largest_eigenvalue": _UP_TO_ONE,
        "fourth_moment": _UP_TO_ONE,
        "mean_norm": _UP_TO_ONE,
        "alpha": _ALPHA,
    },
    "AngleLaw": {},
    "Cone": {"mean": {"maximum": 1.0 + SLACK}, "alpha": _ALPHA},
    "Fcsb": {
        "mean_cosine": _COSINE,
        "draws": _ONE_OR_MORE,
        "alpha": _ALPHA,
        "adaptive": {"maximum": 1.0 + SLACK},
    },
    "PredictionCertificate": {
        **_DRAWS,
        "labels": {"minItems": 1},
        "cosines": {"minItems": 1},
        "cosines[]": _COSINE,
        "radius": _NOT_NEGATIVE,
        "original_radius": _NOT_NEGATIVE,
        "margin": _COSINE,
        "claims": {"minItems": 1, "maxItems": 3},
    },
    "Claim": {"radius": _NOT_NEGATIVE, "alpha": _ALPHA, "labels": {"minItems": 1}},
    "NamedLabel": {"index": _COUNT},
    "PrototypeFacts": {"sha256": {"pattern": "^[0-9a-f]{64}$"}, "count": {"minimum": 2}},
    "LabelCone": {"margin": _COSINE},
    "MarginLaw": {},
    "VoteLaw": {"count": _COUNT, "draws": _ONE_OR_MORE, "alpha": _ALPHA},
    "BackendInfo": {},
    "ErrorLine": {"exit_code": {"minimum": 1, "maximum": 255}},
    "SpentDraws": {},
    "SmoothedFeatureLine": {
        "draws": _ONE_OR_MORE,
        "resultant_length": _UP_TO_ONE,
        "mean_raw_norm": _NOT_NEGATIVE,
        "vector[]": _COSINE,
    },
    "ReplayLine": {},
    "Difference": {},
    "BenchLine": {
        "noise_batch": _ONE_OR_MORE,
        "images": _ONE_OR_MORE,
        "threads": _ONE_OR_MORE,
        "rounds": _ONE_OR_MORE,
        "blocks": _ONE_OR_MORE,
        "alpha": _ALPHA,
        "other_processes": _SHARE,
    },
    "Machine": {"cores": _ONE_OR_MORE},
    "Spread": {},
    "BlockParts": {},
    "Beside": {"batch": _ONE_OR_MORE},
    "TargetSpeed": {
        "radius": _NOT_NEGATIVE,
        "cosine": {"exclusiveMinimum": 0.0, "exclusiveMaximum": 1.0},
        "alpha": _ALPHA,
        "most_draws": _ONE_OR_MORE,
        "certificates": _ONE_OR_MORE,
        "proved": _COUNT,
        "many_images": _ONE_OR_MORE,
    },
    "Arithmetic": {"multiply_adds": _COUNT, "peak": _POSITIVE},
}
# What the types are called in the schemas, where it is not their own name.
_CALLED = {
    "_Wire": "FeatureCertificate",
    "_Point": "CertifiedPoint",
    "Wire": "PredictionCertificate",
    "WireClaim": "Claim",
}
_EVIDENCE: dict[str, dict[str, type[Any]]] = {
    "FeatureCertificate": {"gram": GramLaw, "angle-law": AngleLaw, "cone": Cone, "fcsb": Fcsb},
    "Claim": {"cone": LabelCone, "margin": MarginLaw, "vote": VoteLaw},
}
_DECIDED_BY = {"FeatureCertificate": "bound", "Claim": "kind"}
_ROOTS: dict[str, type[Any]] = {
    "feature": FeatureWire,
    "prediction": PredictionWire,
    "error": ErrorLine,
    "smoothed-feature": SmoothedFeatureLine,
    "replay": ReplayLine,
    "bench": BenchLine,
}


def documents() -> dict[str, Schema]:
    """Every schema by name.

    Raises:
        KeyError: a type has no entry among the demands, or a field of one is not described in its docstring.
    """
    return {name: _document(name, _ROOTS[name]) for name in NAMES}


def file_text(document: Schema) -> str:
    """A schema as its file holds it."""
    return json.dumps(document, indent=1) + "\n"


def write() -> None:
    """Write the files that are shipped."""
    folder = Path(inspect.getfile(fs_runtime.schemas)).parent
    for name, document in documents().items():
        (folder / file_name(name)).write_text(file_text(document), encoding="utf-8")


def _document(name: str, root: type[Any]) -> Schema:
    parts: list[type[Any]] = [root]
    if name == "prediction":
        parts += [FeatureWire, *_EVIDENCE["Claim"].values()]
    if name in ("feature", "prediction"):
        parts += _EVIDENCE["FeatureCertificate"].values()
    _, found = msgspec.json.schema_components(parts, ref_template=_reference("{name}")["$ref"])
    defs = {called: _finished(called, schema) for called, schema in _called(found).items()}
    top = defs.pop(_CALLED.get(root.__name__, root.__name__))
    [written] = top["properties"]["schema"].pop("enum")
    top["properties"]["schema"]["const"] = written
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:" + written.replace("/", ":"),
        **top,
        **({"$defs": defs} if defs else {}),
    }


def _reference(called: str) -> Schema:
    return {"$ref": f"#/$defs/{called}"}


def _called(found: dict[str, Schema]) -> dict[str, Schema]:
    """The definitions under the names that readers know, in their references too."""
    text = json.dumps(found)
    for own, called in _CALLED.items():
        text = text.replace(f'"{_reference(own)["$ref"]}"', f'"{_reference(called)["$ref"]}"')
    renamed: dict[str, Schema] = json.loads(text)
    return {_CALLED.get(own, own): schema for own, schema in renamed.items()}


def _finished(called: str, schema: Schema) -> Schema:
    """One type's schema with descriptions, demands, every field required, and no other field."""
    about, described = _read(inspect.cleandoc(schema["description"]))
    properties = schema["properties"]
    for field, content in properties.items():
        content.pop("default", None)
        content["description"] = described[field]
    for place, demand in _DEMANDS[called].items():
        field = place.removesuffix("[]")
        content = _not_null(properties[field])
        (content["items"] if place.endswith("[]") else content).update(demand)
    if called == "PredictionCertificate":
        properties["feature"]["anyOf"] = [_reference("FeatureCertificate"), {"type": "null"}]
    finished = {
        "title": called,
        "description": about,
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    conditions = _conditions(called)
    return {**finished, "allOf": conditions} if conditions else finished


def _not_null(content: Schema) -> Schema:
    [schema] = [each for each in content.get("anyOf", [content]) if each.get("type") != "null"]
    return schema  # type: ignore[no-any-return]


def _conditions(called: str) -> list[Schema]:
    """What one field says of others: which evidence there is, and what is there where draws were to stop."""
    field = _DECIDED_BY.get(called, "")
    conditions = [
        {
            "if": {"properties": {field: {"const": choice}}},
            "then": {"properties": {"evidence": _reference(kind.__name__)}},
        }
        for choice, kind in _EVIDENCE.get(called, {}).items()
    ]
    if called == "FeatureCertificate":
        conditions.append(
            {
                "if": {"properties": {"until": {"type": "null"}}},
                "then": _stopping("null", "null", "null"),
                "else": _stopping("string", "number", "array"),
            }
        )
    return conditions


def _stopping(outcome: str, adaptive: str, priors: str) -> Schema:
    evidence = {
        "adaptive": {"type": adaptive},
        "tails": {"properties": {"priors": {"type": priors}}},
    }
    return {"properties": {"outcome": {"type": outcome}, "evidence": {"properties": evidence}}}


def _read(docstring: str) -> tuple[str, dict[str, str]]:
    """What a docstring says of the type, and of each of its attributes."""
    about, _, rest = docstring.partition("\nAttributes:\n")
    attributes = rest.split("\n\n")[0]
    described = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", attributes, re.MULTILINE)
    return _plain(about), {name: _plain(text) for name, text in described}


def _plain(text: str) -> str:
    """Text of a docstring for readers of JSON."""
    text = re.sub(r":\w+:`([^`]*)`", r"\1", text).replace("``", "`")
    text = re.sub(r"\bNone\b", "null", text)
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n")).strip()


if __name__ == "__main__":
    write()
