"""The three systems side by side on a few photos: ``fs-export demo``.

``same_draws`` certifies a smoothed system in all ways from one set of draws; ``encoder_attack`` says what the bare
encoder does under an attack; ``pictures`` shows what the purifier makes of noisy pixels.
"""

from fs_exporters.demonstration.encoder_attack import AttackedEncoder, attack_encoder, bare_encoder
from fs_exporters.demonstration.pictures import Denoised, denoise, draw_denoised
from fs_exporters.demonstration.same_draws import Certified, Drawn, DrawPlan

__all__ = [
    "AttackedEncoder",
    "Certified",
    "Denoised",
    "DrawPlan",
    "Drawn",
    "attack_encoder",
    "bare_encoder",
    "denoise",
    "draw_denoised",
]
