"""The attack on the bare encoder, where the furthest it can get is known in closed form."""

import math

import numpy as np
import pytest
from helpers.known_torch import Phase

from fs_exporters.demonstration import attack_encoder, bare_encoder
from fs_runtime.bundle.prototypes import Prototypes
from fs_runtime.preprocess import prepare

ANGLES = np.linspace(0.0, 2.0 * math.pi, 9)[:-1]
COMPASS = Prototypes.made_of(
    "compass", np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1), tuple(f"point {number}" for number in range(8))
)


@pytest.mark.parametrize(("radius", "changes"), [(0.01, False), (0.3, True)])
def test_attack_encoder_turns_by_the_closed_form_when_the_encoder_is_known(radius: float, changes: bool) -> None:
    encoder = Phase(speed=4.0)
    pixels = np.random.default_rng(1).integers(90, 160, (4, 4, 3), dtype=np.uint8)
    image = prepare(pixels, encoder.spec.preprocess)
    found = attack_encoder(bare_encoder(encoder), image, COMPASS, radius=radius, steps=10)
    most = math.degrees(4.0 * radius)
    assert 0.9 * most < found.degrees <= most + 0.01
    # Half of 45 degrees lie between a direction and the furthest edge of its sector.
    assert (found.attacked_label != found.label) == changes
