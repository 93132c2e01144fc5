"""What a graph gives is not believed: unit rows are checked and normalised again, whatever the bound."""

import numpy as np
import onnx
import pytest
from helpers import tiny
from onnx import helper, numpy_helper

import fs_runtime
from fs_runtime.certification import CertificationError

IMAGE = np.full((8, 8, 3), 0.5, np.float32)


def scaled(factor):
    """The linear encoder with features of norm ``factor``."""
    model = tiny.smoothed_model(tiny.linear(), noise_batch=4, gives_features=True)
    graph = model.graph
    for node in graph.node:
        if "features" in node.output:
            node.output[0] = "honest"
    at = next(i for i, node in enumerate(graph.node) if "features" in node.input)
    graph.node.insert(at, helper.make_node("Mul", ["honest", "factor"], ["features"]))
    graph.initializer.append(numpy_helper.from_array(np.array([factor], np.float32), "factor"))
    onnx.checker.check_model(model)
    return model


@pytest.mark.parametrize("bound", ["gram", "angle-law", "fcsb"])
@pytest.mark.parametrize("factor", [0.9, 1.001])
def test_certify_refuses_features_that_are_not_unit(tmp_path, bound, factor):
    bundle = tiny.write_bundle(tmp_path / "b", model=scaled(factor))
    with fs_runtime.load(bundle, threads=1) as encoder, pytest.raises(CertificationError, match="unit"):
        encoder.certify(IMAGE, draws=100, alpha=0.05, bound=bound, seed=1)


@pytest.mark.parametrize("bound", ["gram", "angle-law", "fcsb"])
def test_certify_gains_nothing_when_features_are_a_little_too_long(tmp_path, bound):
    angles = []
    for name, factor in (("long", 1.00009), ("unit", 1.0)):
        with fs_runtime.load(tiny.write_bundle(tmp_path / name, model=scaled(factor)), threads=1) as encoder:
            angles.append(encoder.certify(IMAGE, draws=100, alpha=0.05, bound=bound, seed=1).angle(0.02))
    assert angles[0] == pytest.approx(angles[1], abs=1e-6)


def test_certify_says_so_when_the_pilot_is_nan_and_the_reference_clean(tmp_path):
    # Finite without noise, NaN in some draws.
    bundle = tiny.write_bundle(tmp_path / "b", tiny.not_a_number(above=0.6))
    with fs_runtime.load(bundle, threads=1) as encoder, pytest.raises(CertificationError):
        encoder.certify(IMAGE, draws=100, alpha=0.05, reference="clean", seed=1)


def test_load_refuses_a_file_that_the_manifest_does_not_list(tmp_path):
    folder = tiny.write_bundle(tmp_path / "b")
    (folder / "innocent.bin").write_bytes(b"weights")
    with pytest.raises(fs_runtime.BundleError, match=r"innocent\.bin is not listed"):
        fs_runtime.load(folder)
