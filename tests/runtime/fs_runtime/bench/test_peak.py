"""Matrix rates of devices."""

import pytest

from fs_runtime.bench.peak import known_peak


def test_known_peak_is_of_the_precision_when_the_gpu_is_known() -> None:
    half, single = known_peak("NVIDIA H100 80GB HBM3", "fp16"), known_peak("NVIDIA H100 80GB HBM3", "fp32")
    assert half is not None
    assert single is not None
    assert half == known_peak("NVIDIA H100 80GB HBM3", "bf16")
    assert half.tflops > 10.0 * single.tflops
    assert "data sheet of the NVIDIA H100 80GB HBM3" in half.source


@pytest.mark.parametrize(("gpu", "precision"), [(None, "fp16"), ("NVIDIA H100", "fp16"), ("NVIDIA H200", "int8")])
def test_known_peak_is_none_when_nothing_is_known(gpu: str | None, precision: str) -> None:
    assert known_peak(gpu, precision) is None  # type: ignore[arg-type]
