"""Plans are really parsed and built by TensorRT-RTX, which needs no GPU for it."""

import errno
import hashlib
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from helpers import tiny, tiny_torch
from helpers.engines import NO_GPU, driver_of, gpu_here, needs_rtx
from onnx import TensorProto, helper, numpy_helper

from fs_exporters.bundle import changed_folder
from fs_exporters.onnx import NAME_SCOPES
from fs_exporters.parity import ParityError
from fs_exporters.pipeline import ExportResult, export_bundle, parity_line
from fs_exporters.tensorrt import BuildRequest, build, build_engines
from fs_exporters.tensorrt.capability import target_capabilities
from fs_exporters.tensorrt.library import open_library
from fs_exporters.tensorrt.network import parse_network
from fs_exporters.tensorrt.plan import build_plan
from fs_runtime.bundle import Bundle, Engine, read_bundle
from fs_runtime.bundle.engines import read_plan
from fs_runtime.bundle.manifest import EngineSettings, Graph, Parity
from fs_runtime.cuda_calls import DeviceMemoryError
from fs_runtime.errors import BackendError, BundleError, FsError, InputError

RTX = BuildRequest("tensorrt-rtx", ("8.9",), threads=1)


@pytest.fixture(autouse=True)
def _no_gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests say of parity must not depend on the machine."""
    if request.node.get_closest_marker("gpu") is None:
        monkeypatch.setattr(build, "ask_driver", lambda: NO_GPU)


@pytest.fixture(scope="module")
def half_export(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    with tiny_torch.registered():
        return export_bundle(
            tiny_torch.MODEL,
            sigma=0.25,
            noise_batch=3,
            output=tmp_path_factory.mktemp("half") / "bundle",
            precision="fp16",
            threads=1,
        )


def _copy(made: ExportResult, tmp_path: Path) -> Path:
    return tiny_torch.copy_of(made.path, tmp_path / "bundle")


def _content(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# ---- what is built


@needs_rtx
@pytest.mark.parametrize("fixture", ["pooled_export", "tokens_export", "mixed_export", "mixed_tokens_export"])
def test_build_adds_a_plan_when_the_graph_is_fp32(fixture: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    root = _copy(request.getfixturevalue(fixture), tmp_path)
    before = read_bundle(root)
    result = build_engines(root, RTX)
    bundle = read_bundle(root, expect_sha256=result.manifest_sha256)
    (engine,) = bundle.manifest.engines
    assert (engine,) == result.engines
    assert msgspec.structs.replace(bundle.manifest, engines=()) == before.manifest
    plan = read_plan(bundle, engine)
    assert (hashlib.sha256(plan).hexdigest(), len(plan)) == (engine.sha256, engine.bytes)
    assert plan[:4] != b"fs01"
    assert engine.graph_sha256 == bundle.graph("smoothed").sha256
    assert (engine.builder, engine.compute_capability) == ("tensorrt-rtx", "8.9")
    assert (engine.precision_requested, engine.precision_observed) == ("fp32", "fp32")
    assert engine.noise_batch == before.manifest.noise_batch
    assert (engine.parity, engine.parity_not_run) == (None, "no GPU")
    parity = next(stage for stage in result.stages if stage.name == "parity")
    assert parity.detail == "not run, no GPU"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@needs_rtx
def test_build_makes_one_plan_for_each_gpu_when_several_are_named(half_export: ExportResult, tmp_path: Path) -> None:
    root = _copy(half_export, tmp_path)
    settings = EngineSettings(workspace_mb=256)
    wanted = ("8.0", "8.6", "8.9", "12.0")
    result = build_engines(root, BuildRequest("tensorrt-rtx", wanted, settings, threads=1))
    assert tuple(engine.compute_capability for engine in result.engines) == wanted
    assert {engine.precision_observed for engine in result.engines} == {"fp16"}
    assert {engine.settings for engine in result.engines} == {settings}
    assert len({engine.sha256 for engine in result.engines}) == 4
    # Built again, a plan takes the place of its former self; the others stay.
    again = build_engines(root, RTX)
    listed = read_bundle(root).manifest.engines
    assert sorted(engine.compute_capability for engine in listed) == sorted(wanted)
    assert again.engines[0] in listed


@needs_rtx
def test_build_gives_the_same_bytes_when_run_twice(pooled_export: ExportResult, tmp_path: Path) -> None:
    library, path = open_library("tensorrt-rtx"), pooled_export.path / "model.onnx"
    plans = [
        build_plan(library, parse_network(library, path), EngineSettings(), compute_capability="8.9", threads=1)
        for _ in range(2)
    ]
    assert plans[0] == plans[1]
    other = build_plan(library, parse_network(library, path), EngineSettings(), compute_capability="8.6", threads=1)
    assert other != plans[0]


@needs_rtx
def test_build_states_what_the_parity_gate_found_when_the_gpu_is_here(
    pooled_export: ExportResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Driver and gate are fakes: no GPU is here that could open the plan.
    seen: list[bytes] = []
    parity = read_bundle(pooled_export.path).manifest.parity[0]

    def gate(bundle: Bundle, graph: Graph, engine: Engine, *, threads: int) -> Parity:
        assert engine.parity is engine.parity_not_run is None
        listing = Bundle(bundle.root, msgspec.structs.replace(bundle.manifest, engines=(engine,)), "")
        seen.append(read_plan(listing, engine))
        return parity

    monkeypatch.setattr(build, "ask_driver", lambda: driver_of("8.9"))
    monkeypatch.setattr(build, "plan_parity", gate)
    made = build_engines(_copy(pooled_export, tmp_path), BuildRequest("tensorrt-rtx", ("8.9", "8.6"), threads=1))
    assert len(seen) == 1
    assert [engine.parity for engine in made.engines] == [parity, None]
    foreign = "it is for compute capability 8.6, this GPU has 8.9"
    assert [engine.parity_not_run for engine in made.engines] == [None, foreign]
    details = [stage.detail for stage in made.stages if stage.name == "parity"]
    assert details == [parity_line(parity), f"not run, {foreign}"]


@needs_rtx
@pytest.mark.parametrize("logged", [True, False])
def test_build_says_what_tensorrt_told_the_builders_logger_when_the_gate_cannot_open_the_plan(
    pooled_export: ExportResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    logged: bool,
) -> None:
    # The logger is Polygraphy's own; that TensorRT speaks to it, and the gate, are fakes.
    def gate(bundle: Bundle, graph: Graph, engine: Engine, *, threads: int) -> Parity:
        get_trt_logger = import_module("polygraphy.backend.trt").get_trt_logger
        logger, severity = get_trt_logger(), import_module("tensorrt_rtx").ILogger
        logger.log(severity.WARNING, "of no interest")
        if logged:
            logger.log(severity.ERROR, "layer 3\n is too large")
        raise DeviceMemoryError("cannot run the plan (it does not say why)")

    monkeypatch.setattr(build, "ask_driver", lambda: driver_of("8.9"))
    monkeypatch.setattr(build, "plan_parity", gate)
    root = _copy(pooled_export, tmp_path)
    before = _content(root)
    said = r"\. To the logger of the build, TensorRT-RTX 1\..* said: layer 3 is too large" if logged else ""
    stages: list[str] = []
    with pytest.raises(DeviceMemoryError, match=rf"^cannot run the plan \(it does not say why\){said}$"):
        build_engines(root, RTX, on_stage=lambda stage: stages.append(stage.name))
    assert _content(root) == before
    assert stages == ["parse", "build"]
    assert "layer 3" not in "".join(capfd.readouterr())


@needs_rtx
def test_build_makes_a_plan_when_the_graph_is_bf16(vit_export: Callable[[str], ExportResult], tmp_path: Path) -> None:
    (engine,) = build_engines(_copy(vit_export("bf16"), tmp_path), RTX).engines
    assert (engine.precision_requested, engine.precision_observed) == ("bf16", "bf16")


@needs_rtx
def test_build_refuses_when_the_graph_is_int8_for_cpus(
    vit_export: Callable[[str], ExportResult], tmp_path: Path
) -> None:
    root = _copy(vit_export("int8"), tmp_path)
    before = _content(root)
    with pytest.raises(
        BackendError, match=r"^model.onnx is int8 as CPUs want it .* export with --precision fp16 or bf16"
    ):
        build_engines(root, RTX)
    assert _content(root) == before


@pytest.mark.gpu
@needs_rtx
def test_build_runs_the_parity_gate_when_the_gpu_is_here(half_export: ExportResult, tmp_path: Path) -> None:
    here = gpu_here().gpus[0].compute_capability
    try:
        target_capabilities(open_library("tensorrt-rtx"), (here,), driver_of(here))
    except InputError as error:  # as a H100's, which TensorRT-RTX 1.7 does not build for
        pytest.skip(str(error))
    (engine,) = build_engines(_copy(half_export, tmp_path), BuildRequest("tensorrt-rtx", (here,), threads=1)).engines
    assert engine.parity is not None
    assert engine.parity.smallest_cosine > 0.999


# ---- what is refused


def _custom(tmp_path: Path, *nodes: onnx.NodeProto) -> Path:
    """A bundle whose encoder ends with more nodes, from ``first`` to ``raw``."""
    encoder = tiny.linear()
    made = tuple((kind, inputs, "first" if output == "raw" else output) for kind, inputs, output in encoder.nodes)
    model = tiny.smoothed_model(
        tiny.TinyEncoder(
            encoder.side,
            encoder.dimension,
            (*made, ("Identity", ("first",), "raw")),
            encoder.constants,
            encoder.evaluate,
        ),
        noise_batch=4,
        gives_features=True,
    )
    graph = model.graph
    (at,) = (index for index, node in enumerate(graph.node) if node.op_type == "Identity")
    after = list(graph.node)[at + 1 :]
    del graph.node[at:]
    graph.node.extend([*nodes, *after])
    return tiny.write_bundle(tmp_path / "bundle", model=model)


def _node(kind: str, source: str, target: str, **attributes: object) -> onnx.NodeProto:
    node = helper.make_node(kind, [source], [target], name=f"node_{target}", **attributes)
    scopes = "['', 'encoder.blocks.3', 'encoder.blocks.3.attention', 'bitwise']"
    node.metadata_props.append(onnx.StringStringEntryProto(key=NAME_SCOPES, value=scopes))
    return node


@needs_rtx
def test_build_names_node_and_module_when_an_operator_is_unsupported(tmp_path: Path) -> None:
    xor = _node("BitwiseXor", "whole", "mixed")
    xor.input.append("whole")
    root = _custom(
        tmp_path,
        _node("Cast", "first", "whole", to=TensorProto.INT32),
        xor,
        _node("Cast", "mixed", "raw", to=TensorProto.FLOAT),
    )
    before = _content(root)
    with pytest.raises(BackendError, match=r"BitwiseXor \(node 'node_mixed', made by module '.*attention'\)") as caught:
        build_engines(root, RTX)
    assert caught.value.exit_code == 4
    assert "ONNX Runtime" in str(caught.value)
    assert _content(root) == before


@needs_rtx
def test_build_refuses_when_the_graph_computes_in_fp64(tmp_path: Path) -> None:
    root = _custom(
        tmp_path,
        _node("Cast", "first", "wide", to=TensorProto.DOUBLE),
        _node("Cast", "wide", "raw", to=TensorProto.FLOAT),
    )
    with pytest.raises(
        BackendError, match=r"in fp64, which TensorRT-RTX .* silently .*node 'node_wide'.*export it again"
    ):
        build_engines(root, RTX)


@needs_rtx
def test_build_exits_3_when_the_graph_is_not_what_the_manifest_says(
    pooled_export: ExportResult, tmp_path: Path
) -> None:
    root = _copy(pooled_export, tmp_path)
    tiny.edit_manifest(root, lambda manifest: manifest["graphs"][0].update(precision="fp16"))
    before = _content(root)
    with pytest.raises(ParityError, match="was to be fp16, but it is fp32 in 2 of 2 layers") as caught:
        build_engines(root, RTX)
    assert caught.value.exit_code == 3
    assert _content(root) == before


@needs_rtx
def test_build_exits_3_when_the_noise_is_added_in_fp16(tmp_path: Path) -> None:
    model = tiny.smoothed_model(tiny.linear(), noise_batch=4, gives_features=True)
    (add,) = (node for node in model.graph.node if "noise" in node.input)
    add.output[0] = "half_sum"
    add.input[:] = ["half_pixels", "half_noise"]
    rest = list(model.graph.node)
    del model.graph.node[:]
    casts = [
        helper.make_node("Cast", [name], [half], to=TensorProto.FLOAT16)
        for name, half in (("pixel_values", "half_pixels"), ("noise", "half_noise"))
    ]
    model.graph.node.extend(
        [*casts, rest[0], helper.make_node("Cast", ["half_sum"], ["noisy"], to=TensorProto.FLOAT), *rest[1:]]
    )
    with pytest.raises(ParityError, match="the noise"):
        build_engines(tiny.write_bundle(tmp_path / "bundle", model=model), RTX)


@needs_rtx
@pytest.mark.parametrize(
    ("capabilities", "message"),
    [
        (("9.0",), r"cannot build for --compute-capability 9\.0: choose of 7\.5, 8\.0, 8\.6, 8\.9, 12\.0"),
        (("sm89",), "must be two numbers like 8.9"),
        ((), "no GPU here to build for: say which with --compute-capability"),
    ],
)
def test_build_refuses_when_the_gpu_is_not_one_it_builds_for(
    pooled_export: ExportResult, capabilities: tuple[str, ...], message: str
) -> None:
    before = _content(pooled_export.path)
    with pytest.raises(InputError, match=message):
        build_engines(pooled_export.path, BuildRequest("tensorrt-rtx", capabilities, threads=1))
    assert _content(pooled_export.path) == before


@needs_rtx
def test_build_gives_the_builders_reason_when_it_refuses(pooled_export: ExportResult, tmp_path: Path) -> None:
    root = _copy(pooled_export, tmp_path)
    before = _content(root)
    with pytest.raises(BackendError, match="FP32 GEMM is not supported"):
        build_engines(root, BuildRequest("tensorrt-rtx", ("8.9", "7.5"), threads=1))
    assert _content(root) == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_build_refuses_flags_of_full_tensorrt_when_the_target_is_rtx(pooled_export: ExportResult) -> None:
    for settings, flag in (
        (EngineSettings(version_compatible=True), "--version-compatible"),
        (EngineSettings(hardware_compatible=True), "--hardware-compatible"),
    ):
        with pytest.raises(InputError, match=flag):
            build_engines(pooled_export.path, BuildRequest("tensorrt-rtx", ("8.9",), settings))


def test_build_refuses_when_there_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json is missing"):
        build_engines(tmp_path, RTX)
    with pytest.raises(BundleError, match="not the expected"):
        build_engines(tiny.write_bundle(tmp_path / "b"), BuildRequest("tensorrt-rtx", expect_sha256="0" * 64))


@needs_rtx
def test_build_refuses_when_somebody_else_writes_the_bundle(pooled_export: ExportResult, tmp_path: Path) -> None:
    root = _copy(pooled_export, tmp_path)
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with changed_folder(root):
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(30)
    try:
        with pytest.raises(InputError, match="another export is writing"):
            build_engines(root, RTX)
    finally:
        leave.set()
        thread.join()
    read_bundle(root)


@needs_rtx
def test_build_leaves_the_bundle_whole_when_the_disk_is_full(
    pooled_export: ExportResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = _copy(pooled_export, tmp_path)
    before = _content(root)
    calls = []

    def full(contents: dict[Path, bytes]) -> None:
        calls.append(contents)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(build, "write_together", full)
    with pytest.raises(FsError, match=r"cannot write .*bundle: No space left on device; free space"):
        build_engines(root, RTX)
    assert len(calls) == 1
    assert _content(root) == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


# ---- reading the precision back


@needs_rtx
def test_observed_precision_is_int8_when_the_weights_and_inputs_are_quantised(tmp_path: Path) -> None:
    encoder = tiny.linear()
    model = tiny.smoothed_model(encoder, noise_batch=4, gives_features=True)
    graph = model.graph
    scale = numpy_helper.from_array(np.array(0.1, np.float32), "scale")
    zero = numpy_helper.from_array(np.array(0, np.int8), "zero")
    (weights,) = (tensor for tensor in graph.initializer if tensor.name == "weights")
    whole = numpy_helper.from_array(numpy_helper.to_array(weights).clip(-1, 1).round().astype(np.int8), "whole")
    graph.initializer.extend([scale, zero, whole])
    (multiply,) = (node for node in graph.node if "weights" in node.input)
    multiply.input[:] = ["flat_again", "weights_again"]
    at = list(graph.node).index(multiply)
    rest = list(graph.node)[at:]
    del graph.node[at:]
    graph.node.extend(
        [
            helper.make_node("QuantizeLinear", ["flat", "scale", "zero"], ["flat_whole"]),
            helper.make_node("DequantizeLinear", ["flat_whole", "scale", "zero"], ["flat_again"]),
            helper.make_node("DequantizeLinear", ["whole", "scale", "zero"], ["weights_again"]),
            *rest,
        ]
    )
    root = tiny.write_bundle(tmp_path / "bundle", model=model)
    with pytest.raises(ParityError, match="was to be fp32, but it is int8 in 1 of 1 layers"):
        build_engines(root, RTX)
