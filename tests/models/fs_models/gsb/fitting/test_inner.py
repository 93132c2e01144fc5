"""What is heard of an encoder on its way."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch
from helpers import tiny_blocks, tiny_torch
from torch import nn

from fs_models.gsb.fitting.inner import watched


class _Add(nn.Module):
    def __init__(self, number: float, answer: str = "tensor") -> None:
        super().__init__()
        self.number = number
        self.answer = answer

    def forward(self, values: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor | tuple[torch.Tensor, ...]:
        values = values[0] if isinstance(values, tuple) else values
        return (values + self.number, values) if self.answer == "tuple" else values + self.number


def _encoder(answer: str = "tensor") -> nn.Module:
    """Six blocks, each of which adds one, behind a shorter list."""
    return nn.Sequential(nn.Sequential(_Add(0.0)), nn.Sequential(*(_Add(1.0, answer) for _ in range(6))))


def test_watched_hears_blocks_at_each_third_when_there_are_six() -> None:
    encoder, values = _encoder(), torch.zeros(1, 4, 2)
    with watched(encoder) as inner:
        with inner.heard() as maps:
            encoder(values)
        encoder(values)  # nobody listens
    assert [float(each.mean()) for each in maps] == [2.0, 4.0, 6.0]
    assert not any(module._forward_hooks for module in encoder.modules())


def test_watched_hears_the_first_output_when_blocks_give_several() -> None:
    encoder = _encoder("tuple")
    with watched(encoder) as inner, inner.heard() as maps:
        encoder(torch.zeros(1, 4, 2))
    assert [float(each.mean()) for each in maps] == [2.0, 4.0, 6.0]


def test_watched_hears_nothing_when_outputs_have_no_places_or_there_are_no_blocks() -> None:
    for encoder, values in ((_encoder(), torch.zeros(1, 4)), (tiny_torch.tiny_adapter(), torch.zeros(1, 3, 8, 8))):
        with watched(encoder) as inner, inner.heard() as maps:
            encoder(values)
        assert maps == []


def test_watched_hears_all_blocks_when_the_tiny_encoder_has_three() -> None:
    encoder = tiny_blocks.flexible()
    with watched(encoder) as inner, inner.heard() as maps:
        encoder(torch.zeros(2, 3, 32, 24))
    assert [tuple(each.shape) for each in maps] == [(2, 8, 8, 6)] * 3


def test_heard_keeps_workers_apart_when_they_run_the_same_encoder() -> None:
    encoder, together = _encoder(), Barrier(2)
    with watched(encoder) as inner:

        def listen(number: float) -> list[float]:
            with inner.heard() as maps:
                together.wait(60)
                encoder(torch.full((1, 4, 2), number))
                together.wait(60)
            return [float(each.mean()) for each in maps]

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(listen, (0.0, 100.0))) == [[2.0, 4.0, 6.0], [102.0, 104.0, 106.0]]
