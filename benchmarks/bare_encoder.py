"""The encoder alone, cut out of a bundle's graph: noisy pixels [N, 3, H, W] to raw features, at its own precision.

    python benchmarks/bare_encoder.py BUNDLE BARE.onnx
    fs-runtime bench BUNDLE --bare BARE.onnx

It is what an encoder without smoothing would cost at the same batch: no addition of noise, no unit norm, no reductions.
"""

import sys
from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from fs_exporters.onnx.region import encoder_region
from fs_runtime.bundle import read_bundle

_LARGEST_INLINE = 100_000_000


def cut_encoder(bundle: Path, output: Path) -> Path:
    """Write the encoder in ``bundle`` to ``output``, large weights beside it."""
    read = read_bundle(bundle)
    graph = read.graph("smoothed")
    model = ir.load(read.graph_path(graph))
    raw = encoder_region(model.graph).raw
    [noise] = [value for value in model.graph.inputs if value.name == "noise"]
    [addition] = noise.consumers()
    noisy = addition.outputs[0]
    pixels = ir.Value(name="pixels", shape=noise.shape, type=noise.type)
    ir.convenience.replace_all_uses_with(noisy, pixels)
    model.graph.inputs.clear()
    model.graph.inputs.append(pixels)
    model.graph.outputs.clear()
    model.graph.outputs.append(raw)
    RemoveUnusedNodesPass()(model)
    large = graph.bytes > _LARGEST_INLINE
    if not large:
        ir.external_data.load_to_model(model)
    ir.save(model, output, external_data=f"{output.name}.data" if large else None)
    return output


if __name__ == "__main__":
    cut_encoder(Path(sys.argv[1]), Path(sys.argv[2]))
