"""Which mapper a fit keeps."""

import torch
from helpers import tiny_torch

from fs_models.gsb.fitting.fit import _Chosen
from fs_models.gsb.fitting.judge import Judge, Verdict
from fs_models.gsb.fitting.workers import workers


def _average(value: float) -> dict[str, torch.Tensor]:
    return {"weight": torch.tensor([value])}


def test_chosen_keeps_the_best_of_those_that_draw_no_photos_together_when_offered_several() -> None:
    chosen = _Chosen(most_between=0.25)
    for number, (score, between) in enumerate([(0.8, 0.2), (0.95, 0.3), (0.85, 0.24), (0.84, 0.1)]):
        chosen.offer(Verdict({0.25: score}, between), _average(float(number)))
    assert float(chosen.average["weight"]) == 2.0


def test_chosen_allows_what_no_mapper_has_when_that_is_above_the_limit() -> None:
    chosen = _Chosen(most_between=0.25)
    for number, (score, between) in enumerate([(0.8, 0.4), (0.9, 0.39), (0.95, 0.41)]):
        chosen.offer(Verdict({0.25: score}, between), _average(float(number)))
    assert float(chosen.average["weight"]) == 1.0


def test_verdict_tells_the_sigma_that_draws_photos_most_together_when_there_are_several() -> None:
    encoder = tiny_torch.tiny_adapter()
    spec = encoder.spec
    pixels = torch.rand(5, 3, spec.height, spec.width, generator=torch.Generator().manual_seed(3))
    with workers(1, torch.device("cpu"), 1) as crew:
        judge = Judge.of(encoder, pixels, (0.1, 2.0), 0, crew)
        together = judge.look(None, None)
        raws = {sigma: [judge.raw(None, sigma, 0)] for sigma in judge.sigmas}
        alone = [judge.verdict({sigma: raws[sigma]}, None).between for sigma in judge.sigmas]
    assert alone[0] != alone[1]
    assert together.between == max(alone)
