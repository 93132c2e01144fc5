"""How much arithmetic one draw costs, to hold an achieved speed against a device's own."""

import math

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fs_exporters.graph.smoothed import SmoothedGraph


def multiply_adds(graph: SmoothedGraph) -> int:
    """Multiply-adds of the matrix products, convolutions and attention of one draw; nothing else is counted.

    Args:
        graph: of one image. It runs once.
    """
    spec = graph.encoder.spec
    pixels = torch.full((1, 3, spec.height, spec.width), 0.5)
    reference = torch.zeros(math.prod(spec.feature_shape))
    # Fused attention is one operator, of which not every kind is known to the counter; its parts are.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        graph(pixels, torch.zeros_like(pixels), reference)
    return int(counter.get_total_flops()) // 2
