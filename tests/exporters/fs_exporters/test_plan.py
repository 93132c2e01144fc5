"""--dry-run: about right, and nothing written."""

from unittest import mock

import pytest
from helpers import tiny_torch

from fs_exporters.plan import plan_export
from fs_models.encoders import LoadRequest
from fs_runtime.errors import InputError


def plan(output, **changes):
    arguments = {"sigma": 0.25, "noise_batch": 3, "precision": "fp32", "overwrite": False, **changes}
    return plan_export(LoadRequest(tiny_torch.MODEL), output=output, **arguments)


def test_plan_names_the_files_and_writes_nothing(tmp_path, pooled_export):
    made = plan(tmp_path / "bundle")
    assert set(made.files) == {path.name for path in pooled_export.path.iterdir()}
    assert made.noise_bytes == 4 * 3 * 3 * tiny_torch.SIDE**2
    assert made.memory > 0
    assert made.parity_seconds > 0
    assert list(tmp_path.iterdir()) == []


def test_plan_halves_the_weights_when_fp16_is_asked(tmp_path):
    whole, half = (plan(tmp_path / "bundle", precision=precision).files["model.onnx"] for precision in ("fp32", "fp16"))
    assert half == whole // 2


def test_plan_needs_more_memory_when_images_are_mixed(tmp_path, monkeypatch):
    usage = mock.Mock(ru_maxrss=1000)
    monkeypatch.setattr("fs_exporters.plan.resource.getrusage", lambda _: usage)
    pixels, feature = 4 * 3 * tiny_torch.SIDE**2, 4 * 6
    one, three = (plan(tmp_path / "bundle", images=images) for images in (1, 3))
    assert (one.images, three.images) == (1, 3)
    assert three.memory - one.memory == 3 * pixels + 3 * (pixels + feature)


@pytest.mark.parametrize(
    "change", [{"sigma": 0.0}, {"noise_batch": 0}, {"precision": "fp8"}, {"images": 0}, {"images": 4}]
)
def test_plan_refuses_what_an_export_would_refuse(tmp_path, change):
    with pytest.raises(InputError):
        plan(tmp_path / "bundle", **change)


def test_plan_refuses_an_output_that_exists(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="exists"):
        plan(tmp_path)
