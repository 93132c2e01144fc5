"""The module that is traced."""

from fs_exporters.graph.arithmetic import multiply_adds
from fs_exporters.graph.smoothed import MixedGraph, SmoothedGraph, smoothed_graph

__all__ = ["MixedGraph", "SmoothedGraph", "multiply_adds", "smoothed_graph"]
