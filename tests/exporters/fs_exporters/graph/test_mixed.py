"""A graph that mixes images is the graph of one image, for each of them; what happens to one does not reach another."""

import math
from typing import Any

import pytest
import torch
from helpers.tiny_torch import TinyAdapter, tiny_adapter

from fs_exporters.graph import MixedGraph, SmoothedGraph, smoothed_graph
from fs_models.gsb import no_booster

INDEX = torch.tensor([2, 0, 0, 3, 2])
IMAGES, N = 4, len(INDEX)  # image 1 has no draw
EMPTY = 1


def _inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand((IMAGES, 3, 8, 8), generator=generator)
    noise = 0.25 * torch.randn((N, 3, 8, 8), generator=generator)
    return pixels, noise, torch.nn.functional.normalize(torch.randn((IMAGES, 6), generator=generator), dim=1)


def _mixed(adapter: TinyAdapter) -> MixedGraph:
    graph = smoothed_graph(adapter, no_booster(), images=IMAGES)
    assert isinstance(graph, MixedGraph)
    return graph


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_forward_is_the_single_graph_when_taken_image_by_image(tap: Any) -> None:
    adapter, (pixels, noise, references) = tiny_adapter(tap), _inputs()
    mixed = _mixed(adapter)(pixels, noise, references, INDEX)
    alone = smoothed_graph(adapter, no_booster(), images=1)
    assert type(alone) is SmoothedGraph
    close: dict[str, float] = {"atol": 5e-7, "rtol": 1e-6}
    for image in range(IMAGES):
        draws = image == INDEX
        if not draws.any():
            continue
        expected = alone(pixels[image : image + 1], noise[draws], references[image])
        torch.testing.assert_close(mixed[0][draws], expected[0], **close)
        torch.testing.assert_close(mixed[1][image], expected[1], **close)
        torch.testing.assert_close(mixed[2][draws], expected[2], **close)
        if tap == "pooled":
            torch.testing.assert_close(mixed[3][draws], expected[3], **close)
    assert (mixed[1][EMPTY] == 0.0).all()
    assert len(mixed) == (3 if tap == "tokens" else 4)
    assert {output.dtype for output in mixed} == {torch.float32}


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
@pytest.mark.parametrize("what", ["pixels", "reference", "noise", "order"])
def test_forward_keeps_an_images_numbers_bit_for_bit_when_another_image_changes(tap: Any, what: str) -> None:
    graph, (pixels, noise, references) = _mixed(tiny_adapter(tap)), _inputs()
    before = graph(pixels, noise, references, INDEX)
    changed = {"pixels": pixels.clone(), "reference": references.clone(), "noise": noise.clone()}
    index = INDEX.clone()
    if what == "order":
        index[3] = EMPTY
    else:
        changed[what][{"pixels": 2, "reference": 2}.get(what, INDEX == 2)] *= 0.5
    touched = (3 if what == "order" else 2) == INDEX
    after = graph(changed["pixels"], changed["noise"], changed["reference"], index)
    for output in (0, 2, *((3,) if tap == "pooled" else ())):
        differs = (before[output] != after[output]).reshape(N, -1).any(dim=1)
        assert not differs[~touched].any()
    own = [0] if what == "order" else [0, EMPTY, 3]
    assert torch.equal(before[1][own], after[1][own])
    moved = before[0] if what == "reference" else before[2]
    assert (moved != (after[0] if what == "reference" else after[2]))[touched].all()


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf, 0.0])
def test_forward_spoils_one_image_alone_when_a_draw_of_it_has_no_unit_feature(tap: Any, wrong: float) -> None:
    pixels, noise, references = _inputs()
    adapter = tiny_adapter(tap)
    before = _mixed(adapter)(pixels, noise, references, INDEX)
    encode = adapter.encode

    def spoiled(normalised: torch.Tensor) -> torch.Tensor:
        features = encode(normalised).clone()
        features[3] = wrong  # the only draw of image 3
        return features

    adapter.encode = spoiled  # type: ignore[method-assign]
    cosine, total, norm, *features = _mixed(adapter)(pixels, noise, references, INDEX)
    others = [0, EMPTY, 2]
    assert torch.equal(total[others], before[1][others])
    assert total[3].isnan().all()
    rows = INDEX != 3
    assert torch.equal(cosine[rows], before[0][rows])
    assert cosine[3].isnan()
    assert torch.equal(norm[rows], before[2][rows])
    for values in features:
        assert torch.equal(values[rows], before[3][rows])


def test_forward_ignores_a_reference_that_is_no_number_when_it_is_another_images() -> None:
    graph, (pixels, noise, references) = _mixed(tiny_adapter("tokens")), _inputs()
    before = graph(pixels, noise, references, INDEX)[0]
    references[[EMPTY, 3]] = math.nan
    after = graph(pixels, noise, references, INDEX)[0]
    rows = INDEX != 3
    assert torch.equal(before[rows], after[rows])
    assert after[3].isnan()
