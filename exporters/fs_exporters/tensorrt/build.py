"""The whole way from a bundle's graph to plans in that bundle."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fs_exporters.bundle import changed_folder
from fs_exporters.parity import ParityError
from fs_exporters.pipeline import parity_line
from fs_exporters.stage import Stage, Watch
from fs_exporters.tensorrt.capability import target_capabilities
from fs_exporters.tensorrt.gate import check_ready, plan_parity, why_not_compared
from fs_exporters.tensorrt.library import BuilderLibrary, Target, open_library, telling_errors
from fs_exporters.tensorrt.network import ParsedNetwork, parse_network
from fs_exporters.tensorrt.observed import observed_precision
from fs_exporters.tensorrt.plan import build_plan, stated_engine
from fs_runtime.bundle import MANIFEST, Bundle, Engine, read_bundle
from fs_runtime.bundle.manifest import EngineSettings, Graph, Precision
from fs_runtime.cuda_driver import Driver, ask_driver
from fs_runtime.environment import default_threads
from fs_runtime.errors import BackendError, FsError, InputError
from fs_runtime.files import write_together
from fs_runtime.plural import count


@dataclass(frozen=True)
class BuildRequest:
    """What to build.

    Attributes:
        target: which TensorRT.
        compute_capabilities: one plan for each; empty: for the GPU here.
        settings: of the builder.
        threads: of the builder and of the parity gate; None: the cores this process may use.
        expect_sha256: SHA-256 that the bundle's manifest.json must have.
    """

    target: Target
    compute_capabilities: tuple[str, ...] = ()
    settings: EngineSettings = field(default_factory=EngineSettings)
    threads: int | None = None
    expect_sha256: str | None = None


@dataclass(frozen=True)
class BuildResult:
    """Plans that were added to a bundle.

    Attributes:
        path: the bundle.
        engines: what was added, as the manifest lists it.
        manifest_sha256: of the new manifest.json.
        stages: the steps, in order.
    """

    path: Path
    engines: tuple[Engine, ...]
    manifest_sha256: str
    stages: tuple[Stage, ...]


def build_engines(
    bundle: str | Path,
    request: BuildRequest,
    *,
    on_start: Callable[[str], None] = lambda _: None,
    on_stage: Callable[[Stage], None] = lambda _: None,
) -> BuildResult:
    """Build plans from a bundle's smoothed graph and add them to it; the bundle changes at once or not at all.

    The precision is the graph's. It is read back from what was built. Where the GPU that a plan is for is here, the
    plan is held against its graph; where it is not, the manifest says that this was not run, and why.

    Args:
        bundle: folder that an export wrote.
        request: what to build.
        on_start: called with the name of each step as it begins.
        on_stage: called with each finished step.

    Raises:
        InputError: the bundle or an argument cannot be used, or somebody else writes the bundle.
        BackendError: TensorRT is not here, lacks an operator of the graph, or refuses to build.
        ParityError: a plan has another precision than its graph, or computes something else; nothing is written.
    """
    bundle = Path(bundle)
    _check_settings(request)
    read_bundle(bundle, expect_sha256=request.expect_sha256)
    library = open_library(request.target)
    driver = ask_driver()
    capabilities = target_capabilities(library, request.compute_capabilities, driver)
    watch = Watch(on_start, on_stage)
    workshop = _Workshop(library, driver, request.settings, request.threads or default_threads(), watch)
    try:
        with changed_folder(bundle) as folder:
            engines = _add_engines(folder, request.expect_sha256, workshop, capabilities)
            with watch.step("write") as notes:
                manifest_sha256 = read_bundle(folder).manifest_sha256
                notes.detail, notes.path = f"{count(len(engines), 'plan')} added, hashes checked", bundle
    except OSError as error:
        raise FsError(
            f"cannot write {bundle}: {error.strerror or error}; free space, or move it where you may"
        ) from error
    return BuildResult(bundle, engines, manifest_sha256, tuple(watch.stages))


def _check_settings(request: BuildRequest) -> None:
    settings = request.settings
    if request.target == "tensorrt-rtx" and (settings.version_compatible or settings.hardware_compatible):
        flag = "--version-compatible" if settings.version_compatible else "--hardware-compatible"
        raise InputError(f"{flag} is for --target tensorrt: TensorRT-RTX plans are for one version and the GPUs named")


@dataclass(frozen=True)
class _Workshop:
    """What every plan of one build is made with."""

    library: BuilderLibrary
    driver: Driver
    settings: EngineSettings
    threads: int
    watch: Watch

    def parse(self, bundle: Bundle, graph: Graph) -> ParsedNetwork:
        """The graph as a network that has the graph's precision."""
        with self.watch.step("parse") as notes:
            parsed = self._parsed(bundle, graph)
            observed = observed_precision(parsed.network)
            if observed.precision != graph.precision:
                raise ParityError(f"{graph.file} was to be {graph.precision}, but it is {observed}: export it again")
            notes.detail, notes.path = f"{self.library.name}, strongly typed, {observed}", Path(graph.file)
        return parsed

    def build(self, bundle: Bundle, graph: Graph, parsed: ParsedNetwork, compute_capability: str) -> Engine:
        """One plan, in its place and compared where that can be done."""
        library = self.library
        file = f"engines/{_tag(library, self.settings, graph.precision, compute_capability)}/model.plan"
        with self.watch.step("build") as notes:
            plan = build_plan(
                library, parsed, self.settings, compute_capability=compute_capability, threads=self.threads
            )
            path = bundle.root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            write_together({path: plan})
            notes.detail = f"for compute capability {compute_capability}"
            notes.path, notes.bytes = Path(file), len(plan)
        engine = stated_engine(
            library,
            parsed,
            plan,
            self.settings,
            bundle=bundle,
            graph=graph,
            file=file,
            compute_capability=compute_capability,
        )
        reason = why_not_compared(graph, engine, self.driver, library.version)
        with self.watch.step("parity") as notes:
            notes.path = Path(file)
            if reason is not None:
                notes.detail = f"not run, {reason}"
                return msgspec.structs.replace(engine, parity_not_run=reason)
            with telling_errors(library.name):
                parity = plan_parity(bundle, graph, engine, threads=self.threads)
            notes.detail = parity_line(parity)
            return msgspec.structs.replace(engine, parity=parity)

    def _parsed(self, bundle: Bundle, graph: Graph) -> ParsedNetwork:
        try:
            return parse_network(self.library, bundle.graph_path(graph))
        except BackendError as error:
            if graph.precision != "int8":
                raise
            raise BackendError(
                f"{graph.file} is int8 as CPUs want it (unsigned activations, biases in 32 bits), which "
                f"{self.library.name} does not take: for a plan export with --precision fp16 or bf16, or serve this "
                "bundle with ONNX Runtime on a CPU"
            ) from error


def _add_engines(
    folder: Path, expect_sha256: str | None, workshop: _Workshop, capabilities: tuple[str, ...]
) -> tuple[Engine, ...]:
    """Build into ``folder``, a bundle of its own, and list the plans in its manifest."""
    bundle = read_bundle(folder, expect_sha256=expect_sha256)
    graph = bundle.graph("smoothed")
    check_ready(graph, capabilities, workshop.driver)
    parsed = workshop.parse(bundle, graph)
    engines = tuple(workshop.build(bundle, graph, parsed, capability) for capability in capabilities)
    replaced = {engine.file for engine in engines}
    kept = tuple(engine for engine in bundle.manifest.engines if engine.file not in replaced)
    manifest = msgspec.structs.replace(bundle.manifest, engines=(*kept, *engines))
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    write_together({folder / MANIFEST: data})
    return engines


def _tag(library: BuilderLibrary, settings: EngineSettings, precision: Precision, compute_capability: str) -> str:
    version = ".".join(library.version.split(".")[:3])
    parts = [library.target, version, f"sm{compute_capability.replace('.', '')}", precision]
    parts += ["any-version"] * settings.version_compatible + ["any-gpu"] * settings.hardware_compatible
    return "-".join(parts)
