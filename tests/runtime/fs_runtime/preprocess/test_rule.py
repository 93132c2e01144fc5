"""The rule's schema and the geometry it gives."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from fs_runtime.errors import ImageError
from fs_runtime.preprocess.rule import CenterCrop, Exact, PadSquare, PreprocessRule, ShortestEdge, plan

CLIP = PreprocessRule(ShortestEdge(224, "bicubic"), CenterCrop(224, 224))


@pytest.mark.parametrize(
    "rule",
    [
        CLIP,
        PreprocessRule(),
        PreprocessRule(Exact(384, 256, "bilinear")),
        PreprocessRule(crop=CenterCrop(1, 2)),
        PreprocessRule(Exact(336, 336, "bicubic"), pad=PadSquare((0.0, 0.5, 1.0))),
    ],
)
def test_preprocess_rule_is_unchanged_when_written_and_read(rule: PreprocessRule) -> None:
    assert msgspec.json.decode(msgspec.json.encode(rule), type=PreprocessRule) == rule


def test_preprocess_rule_names_its_mode_when_written() -> None:
    assert msgspec.to_builtins(CLIP) == {
        "resize": {"mode": "shortest_edge", "edge": 224, "kernel": "bicubic"},
        "crop": {"height": 224, "width": 224},
    }


@pytest.mark.parametrize(
    "broken",
    [
        {"resize": {"mode": "shortest_edge", "edge": 0, "kernel": "bicubic"}},
        {"resize": {"mode": "shortest_edge", "edge": 16385, "kernel": "bicubic"}},
        {"resize": {"mode": "shortest_edge", "edge": 224, "kernel": "area"}},
        {"resize": {"mode": "exact", "height": -1, "width": 5, "kernel": "box"}},
        {"resize": {"mode": "exact", "edge": 5, "kernel": "box"}},
        {"resize": {"mode": "longest_edge", "edge": 5, "kernel": "box"}},
        {"crop": {"height": 5, "width": 2.5}},
        {"crop": {"height": 5, "width": 5, "top": 1}},
        {"rotate": 90},
        {"pad": {"fill": [0.5, 0.5]}},
        {"pad": {"fill": [0.5, 0.5, 1.1]}},
        {"pad": {"fill": [0.5, 0.5, -0.1]}},
        {"pad": {}},
    ],
)
def test_preprocess_rule_is_refused_when_a_field_is_wrong(broken: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(broken, PreprocessRule)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(300, 451, (224, 336)), (451, 300, (336, 224)), (100, 100, (224, 224)), (3, 7, (224, 522)), (1, 1, (224, 224))],
)
def test_plan_truncates_the_long_side_when_rule_is_shortest_edge(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    assert plan(CLIP, height, width).resized == expected


def transformers_offset(size: int, crop: int) -> int:
    """Where transformers' `center_crop` starts: it pads by the upper half, then crops by the lower one."""
    top = (size - crop) // 2
    pad = math.ceil((max(crop, size) - size) / 2)
    return max(0, top + pad) - pad


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("crop", range(1, 12))
def test_plan_places_the_crop_like_transformers_when_sizes_are_odd_or_even(size: int, crop: int) -> None:
    geometry = plan(PreprocessRule(crop=CenterCrop(crop, 4)), size, 9)
    assert geometry.offset == (transformers_offset(size, crop), 2)
    assert geometry.output == (crop, 4)
    first, last = geometry.kept(0)
    assert 0 <= first < last <= size
    assert last - first == min(size, crop)


def test_plan_keeps_the_size_when_rule_is_empty() -> None:
    geometry = plan(PreprocessRule(), 31, 47)
    assert geometry.output == geometry.resized == (31, 47)
    assert geometry.kernel is None


@pytest.mark.parametrize(("height", "width"), [(1, 100), (100, 1), (300, 70_000)])
def test_plan_names_the_image_when_it_is_too_elongated(height: int, width: int) -> None:
    with pytest.raises(ImageError, match=r"strip\.png.*crop or shrink"):
        plan(CLIP, height, width, name="strip.png")


@pytest.mark.parametrize(("height", "width", "place"), [(5, 8, (1, 0)), (8, 5, (0, 1)), (8, 8, (0, 0)), (1, 8, (3, 0))])
def test_plan_places_the_image_in_the_middle_of_the_square_when_it_pads(
    height: int, width: int, place: tuple[int, int]
) -> None:
    geometry = plan(PreprocessRule(Exact(4, 4, "box"), pad=PadSquare((0.0, 0.0, 0.0))), height, width)
    assert (geometry.padded, geometry.place, geometry.output) == ((8, 8), place, (4, 4))
    assert geometry.placed(0) == (place[0], place[0] + height)


def test_plan_refuses_a_square_that_would_fill_the_memory_when_it_pads() -> None:
    rule = PreprocessRule(Exact(4, 4, "box"), pad=PadSquare((0.0, 0.0, 0.0)))
    assert plan(rule, 1, 8000).padded == (8000, 8000)
    with pytest.raises(ImageError, match=r"strip\.png of 8001 x 1 .*crop or shrink"):
        plan(rule, 1, 8001, name="strip.png")


def test_plan_does_not_depend_on_content_when_sizes_are_equal() -> None:
    sizes = np.random.default_rng(0).integers(1, 400, (20, 2))
    rule = PreprocessRule(Exact(40, 40, "box"), CenterCrop(32, 32))
    assert {plan(rule, int(h), int(w)).offset for h, w in sizes} == {(4, 4)}
