"""A bundle for speed alone: the graph that fs-export would write, without the parity gate.

The gate runs whole noise batches of the original on the CPU, which for a large encoder and a large batch takes longer
than the measurement; of random weights it would show nothing. Such a bundle says in its manifest that it has no parity.
"""

from pathlib import Path

import msgspec

from fs_exporters.graph import multiply_adds, smoothed_graph
from fs_exporters.onnx import OPSETS, trace
from fs_models.encoders import EncoderAdapter
from fs_models.gsb import no_booster
from fs_runtime.bundle import MANIFEST, SCHEMA_VERSION, Manifest
from fs_runtime.bundle.files import digest, total_bytes
from fs_runtime.bundle.manifest import Graph, Precision, Source

GRAPH = "model.onnx"


def write_speed_bundle(
    encoder: EncoderAdapter, folder: Path, *, noise_batch: int, precision: Precision, sigma: float = 0.25
) -> Path:
    """Write it into ``folder``, which is made."""
    folder.mkdir(parents=True)
    spec = encoder.spec
    draft = Manifest(
        schema_version=SCHEMA_VERSION,
        source=Source(model=spec.model),
        family=spec.family,
        tap=spec.tap,
        feature_shape=spec.feature_shape,
        height=spec.height,
        width=spec.width,
        sigma=sigma,
        noise_batch=noise_batch,
        mean=spec.mean,
        std=spec.std,
        preprocess=spec.preprocess,
        graphs=(),
    )
    module = smoothed_graph(encoder, no_booster(), images=1)
    counted = multiply_adds(module)
    inputs, outputs = draft.smoothed_inputs, draft.smoothed_outputs
    external = trace(module, inputs, outputs, folder / GRAPH, metadata={}, precision=precision)
    files = [folder / name for name in (GRAPH, *external)]
    graph = Graph(
        role="smoothed",
        file=GRAPH,
        external_data=external,
        sha256=digest(files),
        bytes=total_bytes(files),
        precision=precision,
        opset=OPSETS[precision],
        inputs=inputs,
        outputs=outputs,
        multiply_adds=counted,
    )
    (folder / MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(draft, graphs=(graph,))))
    return folder
