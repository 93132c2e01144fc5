"""Certificates whose numbers contradict each other are refused before anything is computed from them."""

import json

import numpy as np
import pytest
from helpers import tiny

import fs_runtime
from fs_runtime import FeatureCertificate, InputError


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    folder = tiny.write_bundle(tmp_path_factory.mktemp("checks") / "bundle")
    image = np.full((8, 8, 3), 0.5, np.float32)
    with fs_runtime.load(folder, threads=1) as encoder:
        bounds = ("gram", "angle-law", "fcsb")
        return {bound: encoder.certify(image, draws=100, alpha=0.01, bound=bound, seed=1).to_json() for bound in bounds}


@pytest.mark.parametrize("bound", ["gram", "angle-law", "fcsb"])
def test_from_json_accepts_a_certificate_when_nobody_touched_it(lines, bound):
    assert FeatureCertificate.from_json(lines[bound]).to_json() == lines[bound]


@pytest.mark.parametrize(
    ("bound", "path", "value"),
    [
        ("gram", ("evidence", "mean_norm"), -5.0),
        ("gram", ("evidence", "largest_eigenvalue"), -1.0),
        ("gram", ("evidence", "fourth_moment"), -1.0),
        ("gram", ("evidence", "fourth_moment"), 0.0),
        ("gram", ("evidence", "fourth_moment"), 0.9),
        ("gram", ("evidence", "largest_eigenvalue"), 0.0),
        ("gram", ("evidence", "largest_eigenvalue"), 0.9),
        ("gram", ("evidence", "mean_norm"), 0.9),
        ("gram", ("evidence", "bets", "mean"), []),
        ("gram", ("evidence", "bets", "mean"), [1.0]),
        ("gram", ("evidence", "bets", "second_moment"), [0.0]),
        ("gram", ("evidence", "tails", "alpha"), 0.9),
        ("gram", ("evidence", "tails", "draws"), 10**6),
        ("gram", ("evidence", "cut"), 99),
        ("gram", ("evidence", "alpha"), 0.5),
        ("angle-law", ("evidence", "tails", "thresholds"), []),
        ("angle-law", ("evidence", "tails", "counts"), [0]),
        ("angle-law", ("evidence", "tails", "alpha"), 0.5),
        ("fcsb", ("evidence", "draws"), 10**6),
        ("fcsb", ("evidence", "mean_cosine"), 1.5),
        ("fcsb", ("evidence", "alpha"), 0.5),
        *(
            ("gram", path, value)
            for path, value in (
                (("sigma",), -1.0),
                (("sigma",), 0.0),
                (("alpha",), 2.0),
                (("draws",), 10**6),
                (("pilot",), 0),
                (("seed",), "-1"),
                (("score", "lower"), 0.9999),
                (("image", "operator_norm"), 0.0),
                (("image", "values"), -1),
                (("image", "grid_distance"), -1.0),
            )
        ),
    ],
)
def test_from_json_refuses_when_a_number_contradicts_the_others(lines, bound, path, value):
    content = json.loads(lines[bound])
    holder = content
    for key in path[:-1]:
        holder = holder[key]
    assert holder[path[-1]] != value
    holder[path[-1]] = value
    with pytest.raises(InputError, match="certify the image again"):
        FeatureCertificate.from_json(json.dumps(content))


def test_from_json_refuses_when_thresholds_do_not_rise(lines):
    content = json.loads(lines["gram"])
    content["evidence"]["tails"]["thresholds"].reverse()
    with pytest.raises(InputError, match="contradict"):
        FeatureCertificate.from_json(json.dumps(content))


def test_to_json_states_what_is_certified_when_a_reader_has_no_runtime(lines):
    content = json.loads(lines["gram"])
    certificate = FeatureCertificate.from_json(lines["gram"])
    assert [point["radius"] for point in content["certified"]] == [0.0, 0.0625, 0.125, 0.25, 0.5]
    assert all(point["cosine"] == certificate.cosine(point["radius"]) for point in content["certified"])
    assert content["abstained"] is certificate.abstained


def test_from_json_refuses_when_a_stated_angle_does_not_follow(lines):
    content = json.loads(lines["gram"])
    content["certified"][1]["angle"] *= 0.5
    with pytest.raises(InputError, match="do not follow"):
        FeatureCertificate.from_json(json.dumps(content))
