"""A bundle for speed alone: the graph that fs-export would write, without the parity gate.

The gate runs whole noise batches of the original on the CPU, which for a large encoder and a large batch takes longer
than the measurement; of random weights it would show nothing. Such a bundle says in its manifest that it has no parity.
"""

from pathlib import Path

import msgspec

from fs_exporters.graph import multiply_adds, smoothed_graph
from fs_exporters.onnx import trace
from fs_exporters.pipeline import GRAPH, draft_manifest, stated_graph
from fs_models.encoders import EncoderAdapter
from fs_models.gsb import no_booster
from fs_runtime.bundle import MANIFEST
from fs_runtime.bundle.manifest import Precision


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
