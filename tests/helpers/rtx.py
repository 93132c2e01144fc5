"""Parsing and building with TensorRT-RTX, which needs no GPU (running does)."""

from pathlib import Path

import tensorrt_rtx as trt


def build(path: Path) -> bytes:
    """The plan of an ONNX file for an Ada GPU.

    Raises:
        AssertionError: TensorRT-RTX cannot parse or build it; the message holds its reasons.
    """
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    parsed = parser.parse_from_file(str(path))
    assert parsed, [parser.get_error(index).desc() for index in range(parser.num_errors)]
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None, f"{path} parses, but no plan comes of it"
    return bytes(plan)
