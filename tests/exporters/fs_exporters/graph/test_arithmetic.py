"""Multiply-adds of one draw."""

from types import SimpleNamespace
from typing import Any

from helpers.tiny_torch import tiny_adapter
from torch import nn

from fs_exporters.graph import SmoothedGraph, multiply_adds
from fs_exporters.pipeline import ExportResult
from fs_models.gsb import Booster, no_booster

# 9 places of 8 filters of 3 x 3 x 3, then 72 x 6; the batch norm is not counted.
TINY = 9 * 8 * 27 + 72 * 6


def test_multiply_adds_are_those_of_convolution_and_product_when_tiny() -> None:
    assert multiply_adds(SmoothedGraph(tiny_adapter(), no_booster()).eval()) == TINY


def test_multiply_adds_include_the_booster_when_there_is_one() -> None:
    purifier = nn.Conv2d(3, 3, 1)
    counted = multiply_adds(SmoothedGraph(tiny_adapter(), Booster(purifier, nn.Identity())).eval())
    assert counted == TINY + 8 * 8 * 3 * 3


def test_multiply_adds_include_attention_when_it_is_fused() -> None:
    class Attending(nn.Module):
        spec = SimpleNamespace(height=4, width=4, feature_shape=(48,), tap="pooled")

        def forward(self, pixels: Any, noise: Any, reference: Any) -> Any:
            rows = (pixels + noise).reshape(1, 1, 6, 8)
            return nn.functional.scaled_dot_product_attention(rows, rows, rows).flatten() @ reference

    graph: Any = Attending()
    graph.encoder = SimpleNamespace(spec=Attending.spec)
    # 6 x 6 scores of length 8, twice; the last product is no matrix product.
    assert multiply_adds(graph) == 2 * 6 * 6 * 8


def test_export_bundle_states_the_multiply_adds_when_done(
    pooled_export: ExportResult, mixed_export: ExportResult
) -> None:
    for export in (pooled_export, mixed_export):
        [graph] = export.manifest.graphs
        assert graph.multiply_adds == TINY
