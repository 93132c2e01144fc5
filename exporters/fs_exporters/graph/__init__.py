"""The module that is traced."""

from fs_exporters.graph.smoothed import SmoothedGraph

__all__ = ["SmoothedGraph"]
