"""The schemas that are shipped take what is written, and nothing that is damaged."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from helpers import certificates, predictions, tiny
from helpers.certificates import at, leaves, removed, replaced
from helpers.command import invoke
from PIL import Image

import fs_runtime
from fs_runtime import FeatureCertificate, Target
from fs_runtime.certificates.feature import LARGEST_EMBEDDED
from fs_runtime.cli.main import cli
from fs_runtime.cli.schema_documents import documents, file_text
from fs_runtime.errors import InputError
from fs_runtime.schemas import NAMES, schema_text

DOCS = Path(__file__).resolve().parents[4] / "docs" / "certificate-format.md"


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(schema_text(name)))


def complaint(name: str, content: Any) -> str | None:
    error = next(validator(name).iter_errors(content), None)
    return None if error is None else error.message


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tiny.write_bundle(tmp_path_factory.mktemp("features"), noise_batch=32)
    with fs_runtime.load(folder, threads=1) as encoder:
        made = certificates.all_certificates(encoder, tiny.image_array())
    assert {certificate.outcome for certificate in made.values()} >= {None, "proved"}
    return {name: json.loads(certificate.to_json()) for name, certificate in made.items()}


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    made = {}
    for name, until in (("fixed", None), ("stopping", Target(0.05, 0.5))):
        feature = predictions.feature_certificate(tmp_path_factory.mktemp(name), alpha=0.01, until=until)
        made[name] = predictions.prediction_of(feature)
        made[f"{name}, no cone"] = predictions.prediction_of(feature, ("margin", "vote"))
        made[f"{name}, two labels"] = predictions.prediction_of(feature, top_k=2)
    return {name: json.loads(certificate.to_json()) for name, certificate in made.items()}


# ---- the files


def test_schema_text_is_made_of_the_types_when_shipped() -> None:
    made = documents()
    assert tuple(made) == NAMES
    for name, document in made.items():
        assert schema_text(name) == file_text(document), "run: python -m fs_runtime.cli.schema_documents"


@pytest.mark.parametrize("name", NAMES)
def test_schema_text_is_a_schema_with_descriptions_when_read(name: str) -> None:
    content = json.loads(schema_text(name))
    assert content["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(content)
    for kind in (content, *content.get("$defs", {}).values()):
        assert len(kind["description"]) > 3
        assert kind["additionalProperties"] is False
        assert kind["required"] == list(kind["properties"])
        for each in kind["properties"].values():
            assert len(each["description"]) > 3
            assert "``" not in each["description"]
            assert "None" not in each["description"]


def test_schema_text_names_the_others_when_there_is_none() -> None:
    with pytest.raises(InputError, match="no schema 'manifest': name one of feature, prediction"):
        schema_text("manifest")


@pytest.mark.parametrize("name", NAMES)
def test_schema_prints_the_file_when_asked(name: str) -> None:
    outcome = invoke(cli, "schema", name)
    assert (outcome.code, outcome.out) == (0, schema_text(name))


def test_schema_exits_with_2_when_the_name_is_unknown() -> None:
    outcome = invoke(cli, "schema", "manifest")
    assert (outcome.code, outcome.out) == (2, "")
    assert "'feature', 'prediction'" in outcome.err


@pytest.mark.parametrize("name", NAMES)
def test_documentation_has_every_field_when_a_schema_has_it(name: str) -> None:
    text = DOCS.read_text(encoding="utf-8")
    content = json.loads(schema_text(name))
    for kind in (content, *content.get("$defs", {}).values()):
        for field in kind["properties"]:
            assert f"`{field}`" in text, f"{kind['title']}.{field} is not in {DOCS.name}"


# ---- what is written is taken


def test_feature_schema_takes_a_certificate_when_certify_made_it(features: dict[str, dict[str, Any]]) -> None:
    assert len(features) == len(certificates.BOUNDS) * len(certificates.TARGETS)
    for name, content in features.items():
        assert complaint("feature", content) is None, name


def test_feature_schema_takes_a_certificate_when_nothing_was_certified(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path, tiny.scattering())
    with fs_runtime.load(root, threads=1) as encoder:
        for bound in certificates.BOUNDS:
            certificate = encoder.certify(tiny.image_array(), draws=200, alpha=0.01, bound=bound)
            assert certificate.abstained
            assert complaint("feature", json.loads(certificate.to_json())) is None


def test_feature_schema_takes_a_certificate_when_its_reference_lies_in_a_file(tmp_path: Path) -> None:
    certificate = predictions.feature_certificate(tmp_path, alpha=0.01, dimension=LARGEST_EMBEDDED + 2, tap="tokens")
    certificate.save(tmp_path / "photo.json")
    for text in (certificate.to_json(), (tmp_path / "photo.json").read_text()):
        assert json.loads(text)["reference"] is None
        assert complaint("feature", json.loads(text)) is None


def test_feature_schema_takes_the_baseline_when_draws_were_fixed_or_stopped(
    features: dict[str, dict[str, Any]],
) -> None:
    for content in features.values():
        baseline = FeatureCertificate.from_json(json.dumps(content)).baseline()
        assert complaint("feature", json.loads(baseline.to_json())) is None


def test_prediction_schema_takes_a_certificate_when_it_was_made(labels: dict[str, dict[str, Any]]) -> None:
    for name, content in labels.items():
        assert complaint("prediction", content) is None, name
        assert {claim["kind"] for claim in content["claims"]} >= {"margin", "vote"}


def test_line_schemas_take_what_commands_print_when_asked_for_json(tmp_path: Path) -> None:
    bundle = tiny.write_bundle(tmp_path / "bundle")
    photo, broken, saved = tmp_path / "photo.png", tmp_path / "broken.png", tmp_path / "certificates"
    Image.fromarray(tiny.image_array()).save(photo)
    broken.write_bytes(b"no image")
    smooth = invoke(cli, "smooth", bundle, photo, broken, "--json").out.splitlines()
    certify = invoke(cli, "certify", bundle, photo, broken, "--draws", 100, "--json", "--save", saved).out.splitlines()
    [certificate] = saved.iterdir()
    replay = invoke(cli, "replay", certificate, photo, "--bundle", bundle, "--json").out.splitlines()
    forged = json.loads(certificate.read_text())
    forged["evidence"]["mean_norm"] *= 0.9
    forged["certified"] = []
    (tmp_path / "forged.json").write_text(json.dumps(forged))
    other = invoke(cli, "replay", tmp_path / "forged.json", photo, "--bundle", bundle, "--json").out.splitlines()
    found = [json.loads(line) for line in (*smooth, *certify, *replay, *other)]
    names = ["smoothed-feature", "error", "feature", "error", "replay", "replay"]
    assert [(line["schema"], complaint(name, line)) for name, line in zip(names, found, strict=True)] == [
        (f"fs-runtime/{'feature-certificate' if name == 'feature' else name}/1", None) for name in names
    ]
    assert (found[-2]["equal"], found[-1]["equal"]) == (True, False)
    for name, line in zip(names, found, strict=True):
        for field in line:
            assert complaint(name, removed(line, (field,)))
        assert complaint(name, {**line, "more": 1})


# ---- what is damaged is not


def _spoiled(path: certificates.Path, value: Any) -> list[Any]:
    """Values of another type, and strings that are no such hash."""
    if isinstance(value, bool):
        return ["true", 1, None]
    if isinstance(value, int | float):
        return [str(value), [value], True]
    if isinstance(value, str):
        hexadecimal = path[-1] in ("seed", "sha256", "reference_sha256", "graph_sha256")
        return [7, [value], *([value[:-1], value + "0", value.upper() + "G", ""] if hexadecimal else [])]
    return [7, "null", {}]


@pytest.mark.parametrize("name", ["feature", "prediction"])
def test_schema_refuses_when_anything_is_missing_of_another_type_or_unknown(
    features: dict[str, dict[str, Any]], labels: dict[str, dict[str, Any]], name: str
) -> None:
    tried = 0
    valid = validator(name).is_valid
    for which, content in (features if name == "feature" else labels).items():
        if which.endswith(("missed", "two labels")):  # of the same fields as another
            continue
        for path, value in _without_long_lists(content):
            for other in _spoiled(path, value):
                tried += 1
                assert not valid(replaced(content, path, other)), (path, other)
            if isinstance(path[-1], str):
                assert not valid(removed(content, path)), path
        for path in {path[:-1] for path, _ in _without_long_lists(content)}:
            if isinstance(at(content, path), dict):
                assert not valid(replaced(content, (*path, "unknown"), 1)), path
    assert tried > 500


def _without_long_lists(content: dict[str, Any]) -> list[tuple[certificates.Path, Any]]:
    return [
        (path, value)
        for path, value in leaves(content)
        if not (isinstance(path[-1], int) and path[-1] > 0)
        # The feature certificate in a prediction is tried by itself, except for its outermost fields.
        and not (path[0] == "feature" and len(path) > 2)
        # A field that may be null is spoiled by the conditions on it, tried below.
        and not (value is None and path[-1] in ("reference", "reference_file"))
    ]


OUT_OF_RANGE: list[tuple[str, certificates.Path, list[Any]]] = [
    ("gram, fixed", ("schema",), ["fs-runtime/feature-certificate/2", "fs-runtime/error/1"]),
    ("gram, fixed", ("bound",), ["best", "cone", "angle-law", "fcsb"]),
    ("gram, fixed", ("sigma",), [0.0, -0.25, 2.5]),
    ("gram, fixed", ("alpha",), [0.0, 1.0, -0.1]),
    ("gram, fixed", ("draws",), [0, -1, 99.5]),
    ("gram, fixed", ("pilot",), [0]),
    ("gram, fixed", ("outcome",), ["proved"]),
    ("gram, fixed", ("until",), [{"radius": 0.1, "cosine": 0.5}]),
    ("gram, fixed", ("certified", 1, "radius"), [-0.1]),
    ("gram, fixed", ("certified", 1, "angle"), [-0.1, 3.2]),
    ("gram, fixed", ("certified", 1, "cosine"), [-1.1, 1.1]),
    ("gram, fixed", ("score", "lower"), [-0.1, 1.1]),
    ("gram, fixed", ("reference_kind",), ["pilot"]),
    ("gram, fixed", ("reference",), [[]]),
    ("gram, fixed", ("image", "height"), [0, -6]),
    ("gram, fixed", ("image", "values"), [2]),
    ("gram, fixed", ("image", "operator_norm"), [0.0, -1.0]),
    ("gram, fixed", ("image", "grid_distance"), [-1e-6]),
    ("gram, fixed", ("seed_source",), ["user"]),
    ("gram, fixed", ("evidence", "cut"), [-1, 0.5]),
    ("gram, fixed", ("evidence", "mean_norm"), [-0.1, 1.1]),
    ("gram, fixed", ("evidence", "largest_eigenvalue"), [-0.1, 1.1]),
    ("gram, fixed", ("evidence", "tails", "counts"), [[], [-1], [0.5]]),
    ("gram, fixed", ("evidence", "tails", "thresholds"), [[], [0.0], [3.2]]),
    ("gram, fixed", ("evidence", "tails", "priors"), [[], [{"a": 1.0, "b": 1.0}]]),
    ("gram, proved", ("outcome",), [None, "won"]),
    ("gram, proved", ("until",), [None]),
    ("gram, proved", ("until", "radius"), [-0.1]),
    ("gram, proved", ("until", "cosine"), [0.0, 1.0]),
    ("gram, fixed", ("evidence", "fourth_moment"), [-0.1, 1.1]),
    ("gram, fixed", ("evidence", "bets"), [None]),
    ("gram, proved", ("evidence", "bets", "mean"), [[], [0.0], [1.0]]),
    ("gram, proved", ("evidence", "bets", "second_moment"), [[], [0.0], [1.0]]),
    ("gram, proved", ("evidence", "tails", "priors"), [None, []]),
    ("gram, proved", ("evidence", "tails", "priors", 0, "a"), [0.0, -1.0]),
    ("fcsb, fixed", ("evidence", "adaptive"), [0.5]),
    ("fcsb, fixed", ("evidence", "mean_cosine"), [1.1, -1.1]),
    ("fcsb, proved", ("evidence", "adaptive"), [None]),
    ("cone, fixed", ("evidence", "mean"), [1.1]),
]


@pytest.mark.parametrize(("which", "path", "values"), OUT_OF_RANGE)
def test_feature_schema_refuses_when_a_value_is_out_of_range(
    features: dict[str, dict[str, Any]], which: str, path: certificates.Path, values: list[Any]
) -> None:
    for value in values:
        assert at(features[which], path) != value
        assert complaint("feature", replaced(features[which], path, value)), value


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (("schema",), ["fs-runtime/feature-certificate/1"]),
        (("radius",), [-0.1]),
        (("margin",), [1.5, -1.5]),
        (("labels",), [[]]),
        (("claims",), [[]]),
        (("claims", 0, "kind"), ["margin", "vote", "gram"]),
        (("claims", 1, "alpha"), [0.0, 1.0]),
        (("claims", 2, "evidence", "count"), [-1, 0.5]),
        (("labels", 0, "index"), [-1]),
        (("prototypes", "sha256"), ["00"]),
        (("prototypes", "count"), [1]),
        (("feature", "bound"), ["cone"]),
        (("feature", "graph_sha256"), ["xyz"]),
    ],
)
def test_prediction_schema_refuses_when_a_value_is_out_of_range(
    labels: dict[str, dict[str, Any]], path: certificates.Path, values: list[Any]
) -> None:
    for value in values:
        assert at(labels["fixed"], path) != value
        assert complaint("prediction", replaced(labels["fixed"], path, value)), value
