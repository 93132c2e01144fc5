"""A bundle for speed alone: the graph that fs-export would write, without the parity gate.

The gate runs whole noise batches of the original on the CPU, which for a large encoder and a large batch takes longer
than the measurement; of random weights it would show nothing. Such a bundle says in its manifest that it has no parity.
"""

from pathlib import Path
from typing import get_args

import msgspec

from fs_exporters.graph import multiply_adds, smoothed_graph
from fs_exporters.onnx import trace
from fs_exporters.pipeline import GRAPH, draft_manifest, stated_graph
from fs_exporters.tensorrt.capability import target_capabilities
from fs_exporters.tensorrt.library import Target, open_library
from fs_exporters.tensorrt.network import parse_network
from fs_exporters.tensorrt.plan import build_plan, stated_engine
from fs_models.encoders import EncoderAdapter
from fs_models.gsb import no_booster
from fs_runtime.bundle import MANIFEST, read_bundle
from fs_runtime.bundle.manifest import EngineSettings, Precision
from fs_runtime.cuda_driver import Driver, ask_driver
from fs_runtime.environment import default_threads

PLANS: tuple[Target, ...] = get_args(Target)


def write_speed_bundle(
    encoder: EncoderAdapter, folder: Path, *, noise_batch: int, precision: Precision, sigma: float = 0.25
) -> Path:
    """Write it into ``folder``, which is made."""
    folder.mkdir(parents=True)
    draft = draft_manifest(encoder.spec, sigma, noise_batch)
    inputs, outputs = draft.smoothed_inputs, draft.smoothed_outputs
    module = smoothed_graph(encoder, no_booster(), images=1)
    counted = multiply_adds(module)
    external = trace(module, inputs, outputs, folder / GRAPH, metadata={}, precision=precision)
    graph = stated_graph(folder, draft, "smoothed", GRAPH, external, precision, counted)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(draft, graphs=(graph,))))
    return folder


def add_plan(folder: Path, target: Target, number: int, *, driver: Driver | None = None) -> None:
    """Add a plan for the GPU with that number, of which the manifest says that it has no parity.

    Raises:
        BackendError: this TensorRT is not installed, or refuses to build.
        InputError: it does not build for this GPU.
    """
    bundle, library, driver = read_bundle(folder), open_library(target), driver or ask_driver()
    graph, settings = bundle.graph("smoothed"), EngineSettings()
    only = Driver(driver.version, driver.cuda, driver.gpus[number : number + 1], driver.problem)
    (capability,) = target_capabilities(library, (), only)
    parsed = parse_network(library, bundle.graph_path(graph))
    plan = build_plan(library, parsed, settings, compute_capability=capability, threads=default_threads())
    file = f"engines/{target}/model.plan"
    (folder / file).parent.mkdir(parents=True)
    (folder / file).write_bytes(plan)
    engine = msgspec.structs.replace(
        stated_engine(
            library, parsed, plan, settings, bundle=bundle, graph=graph, file=file, compute_capability=capability
        ),
        parity_not_run="built for speed alone",
    )
    (folder / MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(bundle.manifest, engines=(engine,))))
