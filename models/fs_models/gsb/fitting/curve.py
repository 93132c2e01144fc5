"""The training curve: as JSON, and as a picture."""

import io
from collections.abc import Sequence
from pathlib import Path

import msgspec
from PIL import Image, ImageDraw, ImageFont

from fs_runtime.files import write_together

CURVE, PICTURE = "curve.json", "curve.png"
_SIZE = (760, 420)
_FRAME = (64, 40, 740, 370)
_COLOURS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189), (255, 127, 14), (23, 190, 207))
_INK, _GRID, _GROUND = (40, 40, 40), (222, 222, 222), (255, 255, 255)
_TICKS = 5


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the held-out photos.

    Attributes:
        stage: ``purifier`` or ``mapper``.
        step: of the stage.
        seconds: of training since the fit began.
        samples: noisy crops that were trained on by then, over both stages.
        loss: mean since the look before.
        scores: mean robustness score against the clean feature, by sigma.
        between: mean cosine between boosted noisy features of different photos, at the sigma where it is largest.
    """

    stage: str
    step: int
    seconds: float
    samples: int
    loss: float
    scores: dict[str, float]
    between: float


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """All looks, and what they compare with."""

    schema: str = "fs-export/gsb-curve/1"
    bare: dict[str, float]
    clean_between: float
    points: tuple[Point, ...]


def write_curve(folder: Path, curve: Curve) -> None:
    """Write ``curve.json`` and ``curve.png``.

    Raises:
        OSError: the folder cannot be written.
    """
    encoded = msgspec.json.format(msgspec.json.encode(curve), indent=2) + b"\n"
    write_together({folder / CURVE: encoded, folder / PICTURE: _picture(curve)})


def _picture(curve: Curve) -> bytes:
    """PNG: robustness score against minutes of training, a line for each sigma, dashes for the bare encoder."""
    image = Image.new("RGB", _SIZE, _GROUND)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    left, top, right, bottom = _FRAME
    values = [value for point in curve.points for value in point.scores.values()] + list(curve.bare.values())
    low = min(values, default=0.5)
    low = int(10 * low) / 10
    end = max((point.seconds for point in curve.points), default=1.0) / 60.0 or 1.0

    def place(minutes: float, score: float) -> tuple[float, float]:
        return left + minutes / end * (right - left), bottom - (score - low) / (1.0 - low) * (bottom - top)

    for tick in range(_TICKS + 1):
        score, minutes = low + (1.0 - low) * tick / _TICKS, end * tick / _TICKS
        (_, height), (across, _) = place(0.0, score), place(minutes, low)
        draw.line(((left, height), (right, height)), _GRID)
        draw.text((left - 8, height), f"{score:.2f}", _INK, font, anchor="rm")
        draw.text((across, bottom + 6), f"{minutes:.3g}", _INK, font, anchor="ma")
    draw.rectangle(_FRAME, outline=_INK)
    draw.text(((left + right) / 2, bottom + 26), "minutes of training", _INK, font, anchor="ma")
    draw.text((left, 8), "robustness score of held-out photos against the clean feature", _INK, font)
    for number, (sigma, bare) in enumerate(curve.bare.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [place(point.seconds / 60.0, point.scores[sigma]) for point in curve.points if sigma in point.scores]
        height = place(0.0, bare)[1]
        for start in range(left, right, 12):
            draw.line(((start, height), (min(start + 6, right), height)), colour)
        if len(points) > 1:
            draw.line(points, colour, 2)
        draw.text((left + 10 + 120 * number, top + 8), f"sigma {sigma}", colour, font)
    draw.text((right - 10, top + 8), "dashes: no booster", _INK, font, anchor="ra")
    written = io.BytesIO()
    image.save(written, "PNG", optimize=True)
    return written.getvalue()


def latest_scores(points: Sequence[Point]) -> dict[float, float]:
    """The scores of the last look."""
    return {float(sigma): score for sigma, score in points[-1].scores.items()} if points else {}
