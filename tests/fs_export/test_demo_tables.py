"""The demo's table of the three systems: what is proved, what an attack found, and that nothing is cut off."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from fs_export.demo_tables import ComparedPhoto, explanation_of_systems, systems_rows, systems_table

SIGMA = 0.25


def _certified(degrees: float, cosine: float, stays: float) -> Any:
    return SimpleNamespace(
        own=SimpleNamespace(angle=lambda radius: math.radians(degrees) if radius == 0.125 else 0.0),
        clean=SimpleNamespace(
            score=SimpleNamespace(estimate=0.8125), cosine=lambda radius: cosine if radius == 0.125 else 1.0
        ),
        label=SimpleNamespace(label="football helmet", radius=stays),
        length=0.9512,
    )


def _photo(attacked: str = "bobsled") -> ComparedPhoto:
    encoder: Any = SimpleNamespace(label="football helmet", attacked_label=attacked, degrees=17.99)
    smoothed = {"FS": _certified(180.0, -1.0, 0.0), "FS + GSB": _certified(9.01, 0.5589, 0.0256)}
    return ComparedPhoto("astronaut.png", encoder, smoothed)


def test_systems_rows_round_to_the_safe_side_when_certified() -> None:
    encoder, fs, boosted = systems_rows(_photo(), SIGMA)
    assert encoder == ("encoder", "football helmet", "no: bobsled", "-", "-", "≥ 17.9°", "-")
    assert fs == ("FS", "football helmet", "not certified", "0.812", "0.951", "-", "-")
    assert boosted[2:] == ("only to 0.025", "0.812", "0.951", "≤ 9.1°", "≥ 0.558")


@pytest.mark.parametrize(("radius", "said"), [(0.125, "yes, to 0.125"), (0.3339, "yes, to 0.333")])
def test_systems_rows_say_yes_when_the_label_is_proved_at_the_radius(radius: float, said: str) -> None:
    photo = ComparedPhoto("a", _photo().encoder, {"FS": _certified(1.0, 0.9, radius)})
    assert systems_rows(photo, SIGMA)[1][2] == said


def test_systems_rows_say_when_the_attack_changed_no_label() -> None:
    assert systems_rows(_photo("football helmet"), SIGMA)[0][2] == "not attacked away"


def test_systems_table_cuts_nothing_off_when_the_terminal_is_80_wide(capsys: pytest.CaptureFixture[str]) -> None:
    Console(width=80).print(systems_table([_photo(), _photo()], SIGMA))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    # Words may fold; numbers may not.
    assert "only to 0.025 0.812 0.951 ≤ 9.1° ≥ 0.558" in text
    assert "…" not in text
    assert text.count("astronaut.png") == 2


def test_explanation_of_systems_names_radius_draws_and_alpha() -> None:
    said = explanation_of_systems(SIGMA, 512, 1e-3)
    assert all(part in said for part in ("σ/2 = 0.125", "512 draws", "1 - 0.001", "to clean:"))
    assert "length: how well the noisy features agree with one another, those of the pilot's draws too" in said
    assert "in the encoder's row that it has none" in said
