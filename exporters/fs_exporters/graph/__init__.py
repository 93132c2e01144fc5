"""The module that is traced."""

from fs_exporters.graph.smoothed import MixedGraph, SmoothedGraph, smoothed_graph

__all__ = ["MixedGraph", "SmoothedGraph", "smoothed_graph"]
