"""Which GPUs a build is for; no library is needed to decide."""

from types import SimpleNamespace

import pytest
from helpers.engines import NO_GPU, driver_of

from fs_exporters.tensorrt.capability import target_capabilities
from fs_exporters.tensorrt.library import BuilderLibrary, Target
from fs_runtime.errors import BackendError, InputError


def _library(target: Target) -> BuilderLibrary:
    members = dict.fromkeys(["NONE", "CURRENT", "SM120", "SM75", "SM89"])
    return BuilderLibrary(
        target, "11.0.0", SimpleNamespace(ComputeCapability=SimpleNamespace(__members__=members)), None
    )


def test_rtx_builds_for_the_gpu_here_when_none_is_named() -> None:
    assert target_capabilities(_library("tensorrt-rtx"), (), driver_of("12.0")) == ("12.0",)
    assert target_capabilities(_library("tensorrt-rtx"), ("8.9", "7.5", "8.9"), driver_of("12.0")) == ("8.9", "7.5")


def test_rtx_refuses_the_gpu_here_when_it_has_no_code_for_it() -> None:
    with pytest.raises(InputError, match=r"9\.0: choose of 7\.5, 8\.9, 12\.0"):
        target_capabilities(_library("tensorrt-rtx"), (), driver_of("9.0"))


def test_tensorrt_builds_for_the_gpu_here_only() -> None:
    library = _library("tensorrt")
    assert target_capabilities(library, (), driver_of("9.0")) == ("9.0",)
    assert target_capabilities(library, ("9.0",), driver_of("9.0")) == ("9.0",)
    with pytest.raises(InputError, match=r"--compute-capability 8\.9 is not that of the GPU here, 9\.0"):
        target_capabilities(library, ("8.9",), driver_of("9.0"))


def test_tensorrt_refuses_when_there_is_no_gpu() -> None:
    with pytest.raises(BackendError, match=r"here is none \(no NVIDIA driver\)") as caught:
        target_capabilities(_library("tensorrt"), ("9.0",), NO_GPU)
    assert caught.value.exit_code == 4
