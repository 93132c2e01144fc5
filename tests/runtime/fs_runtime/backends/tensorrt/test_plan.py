"""Plans that TensorRT-RTX really built here, held against what really opens them; opening itself needs a GPU."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers import tiny
from helpers.engines import driver_of, needs_rtx

from fs_exporters.tensorrt import BuildRequest, build_engines
from fs_runtime.backends.tensorrt.choice import choose_plan, fitting_plans
from fs_runtime.backends.tensorrt.library import open_library
from fs_runtime.backends.tensorrt.plan import OpenedPlan
from fs_runtime.bundle import Bundle, Engine, read_bundle
from fs_runtime.bundle.engines import read_plan
from fs_runtime.errors import BackendError, BundleError

pytestmark = needs_rtx


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    root = tiny.write_bundle(tmp_path_factory.mktemp("built") / "bundle")
    build_engines(root, BuildRequest("tensorrt-rtx", ("8.6", "8.9"), threads=1))
    return read_bundle(root)


def _listing(bundle: Bundle, *engines: Engine) -> Bundle:
    return Bundle(bundle.root, msgspec.structs.replace(bundle.manifest, engines=engines), "")


def test_choose_plan_takes_the_plan_of_the_gpu_when_several_were_built(built: Bundle) -> None:
    for capability in ("8.6", "8.9"):
        engine, library = choose_plan(built, driver_of(capability).gpus[0])
        assert engine.compute_capability == capability
        assert library.version == engine.version


def test_choose_plan_names_both_sides_when_the_gpu_is_another(built: Bundle) -> None:
    with pytest.raises(BackendError) as caught:
        choose_plan(built, driver_of("9.0").gpus[0])
    for part in ("compute capability 8.6, this GPU has 9.0", "compute capability 8.9", "--compute-capability 9.0"):
        assert part in str(caught.value)


def test_choose_plan_names_both_sides_when_the_version_is_another(built: Bundle) -> None:
    engines = [msgspec.structs.replace(engine, version="1.6.0.1") for engine in built.manifest.engines]
    here = open_library("tensorrt-rtx").version
    with pytest.raises(BackendError, match=rf"built by tensorrt-rtx 1.6.0.1, here is {here}"):
        choose_plan(_listing(built, *engines), driver_of("8.9").gpus[0])


def test_fitting_plans_finds_none_when_there_is_none(built: Bundle) -> None:
    assert fitting_plans((), driver_of("8.9").gpus[0]).found == ()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda plan: b"", id="empty"),
        pytest.param(lambda plan: b"no plan at all" * 100, id="text"),
        pytest.param(lambda plan: plan[:40], id="head"),
        pytest.param(lambda plan: bytes(len(plan)), id="zeros"),
        pytest.param(lambda plan: plan[7:], id="tail"),
    ],
)
def test_open_refuses_what_is_no_plan_before_it_is_deserialised(
    built: Bundle, spoil: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = built.manifest.engines[0]
    library = open_library("tensorrt-rtx")
    with pytest.raises(BackendError, match=r"TensorRT-RTX 1\..* refuses engines/.*malformed engine.*build it again"):
        OpenedPlan(library, spoil(read_plan(built, engine)), engine)


def test_read_plan_refuses_when_the_file_was_cut_off(built: Bundle, tmp_path: Path) -> None:
    engine = built.manifest.engines[0]
    (tmp_path / engine.file).parent.mkdir(parents=True)
    (tmp_path / engine.file).write_bytes(read_plan(built, engine)[:-1])
    with pytest.raises(BundleError, match="changed while it was opened"):
        read_plan(Bundle(tmp_path, built.manifest, ""), engine)
