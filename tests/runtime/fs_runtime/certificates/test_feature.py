"""A certificate: its numbers, and its JSON to the last bit."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import tiny

import fs_runtime
from fs_runtime import FeatureCertificate, InputError
from fs_runtime.certificates.feature import LARGEST_EMBEDDED, SCHEMA
from fs_runtime.certification import CertificationError, Fcsb, certify_cosines
from fs_runtime.preprocess import Exact, PreprocessRule

SIDE = 6


def _certificate(
    folder: Path, *, bound: Any = "auto", dimension: int = 6, tap: tiny.Tap = "pooled", scattering: bool = False
) -> FeatureCertificate:
    make = tiny.scattering if scattering else tiny.linear
    root = tiny.write_bundle(folder, make(side=SIDE, dimension=dimension), tap=tap, noise_batch=32)
    # Off the grid, so that the grid costs something.
    image = np.random.default_rng(5).random((SIDE, SIDE, 3)) * 0.999
    with fs_runtime.load(root, threads=1) as encoder:
        return encoder.certify(image, draws=400, alpha=0.01, bound=bound, seed=2**127 + 3)


@pytest.fixture(scope="module")
def gram(tmp_path_factory: pytest.TempPathFactory) -> FeatureCertificate:
    return _certificate(tmp_path_factory.mktemp("gram"))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> FeatureCertificate:
    return _certificate(tmp_path_factory.mktemp("large"), dimension=LARGEST_EMBEDDED + 2, tap="tokens")


def _equal(first: FeatureCertificate, second: FeatureCertificate) -> bool:
    return (
        first.curve == second.curve
        and first.image == second.image
        and first.provenance == second.provenance
        and first.reference_kind == second.reference_kind
        and first.reference.tobytes() == second.reference.tobytes()
        and first.reference.dtype == second.reference.dtype
    )


# ---- numbers


def test_angle_pays_for_the_grid_when_the_radius_is_positive(gram: FeatureCertificate) -> None:
    cost = gram.image.grid_cost
    assert cost == gram.image.grid_distance + 2.0**-21 * math.sqrt(3 * SIDE**2)
    assert gram.image.grid_distance > 0.0
    assert gram.angle(0.0) == gram.curve.angle(0.0)
    for radius in (1e-9, 0.01, 0.05, 0.2):
        assert gram.angle(radius) == gram.curve.angle(radius + cost)
    # Over so small a cost the dual rises by less than its search resolves, but not over a large one.
    assert gram.angle(0.05) > gram.curve.angle(0.05 - 100 * cost)


def test_angle_rises_when_the_radius_grows(gram: FeatureCertificate) -> None:
    angles = [gram.angle(radius) for radius in np.linspace(0.0, 1.0, 41)]
    assert angles == sorted(angles)
    assert angles[0] < 0.6
    assert angles[-1] == math.pi


def test_cosine_is_that_of_the_angle_when_certified_or_not(gram: FeatureCertificate) -> None:
    assert gram.cosine(0.05) == math.cos(gram.angle(0.05))
    assert gram.cosine(5.0) == -1.0


@pytest.mark.parametrize("cosine", [0.1, 0.3, 0.5, 0.7])
def test_radius_is_the_largest_when_the_cosine_is_certified(gram: FeatureCertificate, cosine: float) -> None:
    radius = gram.radius(cosine)
    assert radius > 0.0
    assert gram.cosine(radius) >= cosine - 1e-7
    assert gram.cosine(radius + 1e-4) < cosine


def test_radius_is_zero_when_the_cosine_is_out_of_reach(gram: FeatureCertificate) -> None:
    assert gram.radius(1.0) == 0.0
    assert gram.radius(0.99999) == 0.0
    assert gram.radius(-1.0) == math.inf


def test_certificate_refuses_when_radius_or_cosine_is_no_such_number(gram: FeatureCertificate) -> None:
    for radius in (-0.1, math.nan):
        with pytest.raises(CertificationError, match="radius"):
            gram.angle(radius)
    for cosine in (1.1, -1.1, math.nan):
        with pytest.raises(CertificationError, match="cosine"):
            gram.radius(cosine)


def test_floor_stays_below_the_angle_when_draws_are_few(gram: FeatureCertificate) -> None:
    for radius in (0.0, 0.05, 0.1):
        assert 0.0 < gram.floor(radius) < gram.angle(radius)


def test_original_radius_undoes_resampling_when_the_image_was_resized(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path, preprocess=PreprocessRule(resize=Exact(8, 8, "bicubic")))
    with fs_runtime.load(root) as encoder:
        certificate = encoder.certify(tiny.image_array(side=32), draws=200, alpha=0.01)
    image = certificate.image
    assert 0.0 < image.operator_norm < 1.0
    assert image.resampling_error > 0.0
    expected = (0.1 - 2.0 * image.resampling_error) / image.operator_norm
    assert certificate.original_radius(0.1) == pytest.approx(expected, rel=1e-12)
    assert certificate.original_radius(0.1) > 0.1
    assert certificate.original_radius(image.resampling_error) == 0.0


def test_original_radius_is_the_radius_when_nothing_was_resized(gram: FeatureCertificate) -> None:
    rounding = 2.0**-25 * math.sqrt(3 * SIDE**2)
    assert gram.image.resampling_error == rounding
    assert gram.original_radius(0.1) == 0.1 - 2.0 * rounding


def test_baseline_equals_fcsb_when_made_from_the_same_draws(gram: FeatureCertificate, tmp_path: Path) -> None:
    baseline = gram.baseline()
    own = _certificate(tmp_path, bound="fcsb")
    assert baseline.bound == "fcsb"
    assert isinstance(baseline.curve.evidence, Fcsb)
    assert (baseline.draws, baseline.alpha) == (gram.draws, gram.alpha) == (400, 0.01)
    # The pilot of fcsb is shorter, so its reference is another; the statistic is the same function of it.
    curve = certify_cosines(
        [1.0], np.full(400, baseline.curve.evidence.mean_cosine), sigma=gram.sigma, alpha=0.01, bound="fcsb"
    )
    for radius in (0.0, 0.05, 0.1):
        assert baseline.curve.angle(radius) == pytest.approx(curve.angle(radius), abs=1e-9)
    assert abs(baseline.cosine(0.05) - own.cosine(0.05)) < 0.05
    assert baseline.cosine(0.05) < gram.cosine(0.05)
    assert FeatureCertificate.from_json(baseline.to_json()).curve == baseline.curve


def test_abstained_says_when_nothing_is_certified(gram: FeatureCertificate, tmp_path: Path) -> None:
    assert not gram.abstained
    assert _certificate(tmp_path, scattering=True).abstained


# ---- JSON


@pytest.mark.parametrize("bound", ["gram", "angle-law", "fcsb"])
@pytest.mark.parametrize("scattering", [False, True])
def test_from_json_gives_every_bit_back_when_to_json_wrote_it(tmp_path: Path, bound: Any, scattering: bool) -> None:
    certificate = _certificate(tmp_path, bound=bound, scattering=scattering)
    text = certificate.to_json()
    back = FeatureCertificate.from_json(text)
    assert _equal(certificate, back)
    assert back.to_json() == text
    for radius in (0.0, 0.03, 0.1):
        assert back.angle(radius) == certificate.angle(radius)


def test_to_json_is_one_line_of_plain_numbers_when_parsed(gram: FeatureCertificate) -> None:
    text = gram.to_json()
    assert "\n" not in text

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    content = json.loads(text, parse_constant=refuse)
    assert content["schema"] == SCHEMA == "fs-runtime/feature-certificate/1"
    # NaN would be written as null, so null may stand in one place only.
    absent = {"until", "outcome", "reference_file"}
    assert {key for key, value in content.items() if value is None} == absent
    evidence = content["evidence"]
    assert evidence["tails"].pop("priors") is None
    assert "null" not in json.dumps({key: value for key, value in content.items() if key not in absent})
    assert content["seed"] == f"{2**127 + 3:032x}"
    assert content["seed_source"] == "caller"
    assert content["draws"] == 400
    assert content["pilot"] == 128
    assert content["bound"] == "gram"
    assert content["sigma"] == tiny.SIGMA
    assert content["reference"] == gram.reference.tolist()
    assert next(iter(content)) == "schema"
    assert set(content["evidence"]) >= {"tails", "largest_eigenvalue", "fourth_moment", "mean_norm", "bets"}


def _edited(text: str, edit: Callable[[dict[str, Any]], object]) -> str:
    content = json.loads(text)
    edit(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda text: "", id="empty"),
        pytest.param(lambda text: "garbage", id="garbage"),
        pytest.param(lambda text: "{}", id="empty-object"),
        pytest.param(lambda text: "[" * 100_000, id="deep"),
        pytest.param(lambda text: text[:-1], id="truncated"),
        pytest.param(lambda text: text[: len(text) // 2], id="half"),
        pytest.param(lambda text: text + text, id="twice"),
        pytest.param(lambda text: "\ud800" + text, id="surrogate"),
        pytest.param(lambda text: text.replace("certificate/1", "certificate/2"), id="newer-schema"),
        pytest.param(lambda text: text.replace(SCHEMA, "fs-runtime/error/1"), id="other-schema"),
        pytest.param(lambda text: _edited(text, lambda c: c.update(extra=1)), id="unknown-field"),
        pytest.param(lambda text: _edited(text, lambda c: c.pop("alpha")), id="missing-field"),
        pytest.param(lambda text: _edited(text, lambda c: c.update(draws="400")), id="wrong-type"),
        pytest.param(lambda text: _edited(text, lambda c: c.update(bound="best")), id="unknown-bound"),
        pytest.param(lambda text: _edited(text, lambda c: c.update(bound="fcsb")), id="evidence-of-another-bound"),
        pytest.param(lambda text: _edited(text, lambda c: c.update(seed="xyz")), id="seed"),
        pytest.param(lambda text: _edited(text, lambda c: c.update(seed_source="user")), id="seed-source"),
        pytest.param(lambda text: _edited(text, lambda c: c.update(reference=["a"])), id="reference-type"),
        pytest.param(lambda text: text.replace('"sigma":0.25', '"sigma":NaN'), id="NaN"),
        pytest.param(lambda text: text.replace('"sigma":0.25', '"sigma":1e999'), id="overflow"),
    ],
)
def test_from_json_refuses_when_the_text_is_no_certificate(
    gram: FeatureCertificate, spoil: Callable[[str], str]
) -> None:
    text = gram.to_json()
    assert spoil(text) != text
    with pytest.raises(InputError, match="is not a certificate of schema fs-runtime/feature-certificate/1"):
        FeatureCertificate.from_json(spoil(text))


def test_from_json_refuses_when_the_reference_was_changed(gram: FeatureCertificate) -> None:
    for value in (gram.reference[0] + 2.0**-50, -gram.reference[0]):
        with pytest.raises(InputError, match="does not have the stated hash"):
            FeatureCertificate.from_json(_edited(gram.to_json(), lambda c, v=value: c["reference"].__setitem__(0, v)))
    with pytest.raises(InputError, match="does not have the stated hash"):
        FeatureCertificate.from_json(_edited(gram.to_json(), lambda c: c["reference"].append(0.0)))


def test_read_gives_the_certificate_back_when_save_wrote_it(gram: FeatureCertificate, tmp_path: Path) -> None:
    path = tmp_path / "photo.json"
    gram.save(path)
    assert [each.name for each in tmp_path.iterdir()] == ["photo.json"]
    assert path.read_text() == gram.to_json() + "\n"
    assert _equal(FeatureCertificate.read(path), gram)
    assert _equal(FeatureCertificate.read(str(path)), gram)


def test_to_json_leaves_the_reference_out_when_it_is_long(large: FeatureCertificate) -> None:
    assert large.reference.shape == (LARGEST_EMBEDDED + 2,)
    content = json.loads(large.to_json())
    assert content["reference"] is None
    assert content["reference_file"] is None
    assert len(large.to_json()) < 4000
    with pytest.raises(InputError, match=r"FeatureCertificate\.read"):
        FeatureCertificate.from_json(large.to_json())


def test_to_json_holds_the_reference_when_it_is_just_short_enough(tmp_path: Path) -> None:
    certificate = _certificate(tmp_path, dimension=LARGEST_EMBEDDED, tap="tokens")
    assert _equal(FeatureCertificate.from_json(certificate.to_json()), certificate)


def test_read_finds_the_reference_beside_when_it_is_long(large: FeatureCertificate, tmp_path: Path) -> None:
    path = tmp_path / "a.photo.json"
    large.save(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.photo.json", "a.photo.json.safetensors"]
    back = FeatureCertificate.read(path)
    assert _equal(back, large)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for each in ("a.photo.json", "a.photo.json.safetensors"):
        (tmp_path / each).rename(moved / each)
    assert _equal(FeatureCertificate.read(moved / "a.photo.json"), large)
    with pytest.raises(InputError, match=r"FeatureCertificate\.read"):
        FeatureCertificate.from_json((moved / "a.photo.json").read_text())


def test_read_refuses_when_the_reference_file_is_missing_or_broken(large: FeatureCertificate, tmp_path: Path) -> None:
    path = tmp_path / "photo.json"
    large.save(path)
    beside = tmp_path / "photo.json.safetensors"
    data = bytearray(beside.read_bytes())
    data[-1] ^= 1
    beside.write_bytes(data)
    with pytest.raises(InputError, match="does not have the stated hash"):
        FeatureCertificate.read(path)
    beside.write_bytes(b"junk")
    with pytest.raises(InputError, match=r"photo\.json\.safetensors.*cannot be read"):
        FeatureCertificate.read(path)
    beside.unlink()
    with pytest.raises(InputError, match=r"photo\.json\.safetensors.*cannot be read"):
        FeatureCertificate.read(path)


@pytest.mark.parametrize("name", ["../photo.safetensors", "/etc/passwd", "sub/photo.safetensors"])
def test_read_refuses_when_the_reference_file_lies_elsewhere(
    large: FeatureCertificate, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    path = folder / "photo.json"
    large.save(path)
    for place in (tmp_path, folder / "sub"):
        (place / "photo.safetensors").write_bytes((folder / "photo.json.safetensors").read_bytes())
    path.write_text(_edited(path.read_text(), lambda c: c.update(reference_file=name)))
    with pytest.raises(InputError, match="in another file"):
        FeatureCertificate.read(path)


def test_read_refuses_when_the_file_is_missing_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.json cannot be read"):
        FeatureCertificate.read(tmp_path / "nowhere.json")
    with pytest.raises(InputError, match="cannot be read"):
        FeatureCertificate.read(tmp_path)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bytes\.json cannot be read"):
        FeatureCertificate.read(tmp_path / "bytes.json")
