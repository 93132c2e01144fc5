"""The page's charts: inline SVG that takes its colours from the page's style, light or dark."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from fs_runtime.report.markup import Html, element, join, shorten
from fs_runtime.report.measures import COSINES, SHIFTS, Curve, ImageMeasures, Section, Setting
from fs_runtime.rounding import rounded_down, rounded_up

Quantity = Literal["cosine", "angle"]
MOST_SCORE_ROWS = 40
"""More images than this are shown by rank, without their names."""

_TICK_SHIFTS = ((0.0, "0"), (0.5, "σ/2"), (1.0, "σ"), (1.5, "3σ/2"), (2.0, "2σ"))
_WIDTH = 420.0
_ROW, _NARROW_ROW, _MOST_WIDE_ROWS = 22.0, 13.0, 12
_LONGEST_LABEL = 16


@dataclass(frozen=True)
class Frame:
    """Where data go in a chart: ``low`` to ``high`` are the data at the plot's corners."""

    left: float
    top: float
    right: float
    bottom: float
    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        """Across."""
        return self.left + (value - self.x_low) / (self.x_high - self.x_low) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Down."""
        return self.bottom - (value - self.y_low) / (self.y_high - self.y_low) * (self.bottom - self.top)

    def points(self, pairs: Iterable[tuple[float, float]]) -> str:
        """For a polyline or polygon."""
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in pairs)


def curves_chart(section: Section, quantity: Quantity) -> Html:
    """Certified cosine or angle against radius: each bound's median with its band from worst to best, and the floor."""
    frame = _radius_frame(1.0 if quantity == "cosine" else 90.0)
    value = _cosine if quantity == "cosine" else _degrees
    edge = 0.0 if quantity == "cosine" else 90.0
    drawn = [_radius_axes(frame, section.setting, _cosine_ticks() if quantity == "cosine" else _angle_ticks())]
    if section.certified > 1:
        for bound in section.bounds:
            best, least = ([value(angle) for angle in curve.angles] for curve in section.band(bound))
            around = [*zip(SHIFTS, best, strict=True), *reversed([*zip(SHIFTS, least, strict=True)])]
            drawn.append(element("polygon", points=frame.points(around), class_=f"band {bound}"))
    floor = _certified_points(section.floor, value, edge)
    drawn.append(element("polyline", points=frame.points(floor), class_="line floor"))
    for bound in reversed(section.bounds):
        points = _certified_points(section.median(bound).angles, value, edge)
        drawn.append(element("polyline", points=frame.points(points), class_=f"line {bound}"))
    return _svg(frame.bottom + 40, _spoken(section, quantity), drawn)


def fraction_chart(section: Section) -> Html:
    """The fraction of images against radius, for each cosine threshold."""
    frame = _radius_frame(1.0)
    drawn = [_radius_axes(frame, section.setting, [(step / 4, f"{25 * step}%") for step in range(5)])]
    said = []
    for number, cosine in enumerate(COSINES):
        fractions = section.fractions(cosine)
        drawn.append(element("polyline", points=frame.points(_steps(fractions)), class_=f"line cosine{number}"))
        said.append(f"cosine {cosine:g}: {100 * fractions[8]:.0f}% at σ/2, {100 * fractions[16]:.0f}% at σ")
    return _svg(frame.bottom + 40, "Certified fraction of images against radius. " + "; ".join(said) + ".", drawn)


def score_chart(section: Section) -> Html:
    """Robustness scores with their intervals, sorted."""
    images = sorted(section.images, key=lambda image: -image.certificate.score.estimate)
    low = score_axis_low(section)
    said = (
        f"Robustness scores from {images[-1].certificate.score.estimate:.3f} ({images[-1].label}) "
        f"to {images[0].certificate.score.estimate:.3f} ({images[0].label})."
    )
    ticks = [low + (1.0 - low) * step / 4 for step in range(5)]
    if len(images) > MOST_SCORE_ROWS:
        return _score_ranks(images, low, ticks, said)
    wide = len(images) <= _MOST_WIDE_ROWS
    row_height = _ROW if wide else _NARROW_ROW
    frame = Frame(136, 10, _WIDTH - 14, 10 + row_height * len(images), low, 1.0, 0.0, float(len(images)))
    drawn = [
        join(
            _rule(frame.x(tick), frame.top, frame.x(tick), frame.bottom),
            _text(f"{tick:.4g}", frame.x(tick), frame.bottom + 18, "middle"),
        )
        for tick in ticks
    ]
    for row, image in enumerate(images):
        label = shorten(image.label, _LONGEST_LABEL)
        score, y = image.certificate.score, frame.top + row_height * (row + 0.5)
        drawn += [
            _text(label, frame.left - 8, y + 4, "end", "label name" if wide else "label name small"),
            element(
                "line",
                x1=frame.x(score.lower),
                x2=frame.x(score.upper),
                y1=y,
                y2=y,
                class_=f"whisker {image_bound(image)}",
            ),
            element("circle", cx=frame.x(score.estimate), cy=y, r=4 if wide else 3, class_=f"dot {image_bound(image)}"),
        ]
    drawn.append(_text("Gaussian robustness score", 0.5 * (frame.left + frame.right), frame.bottom + 38, "middle"))
    return _svg(frame.bottom + 48, said, drawn)


def image_chart(image: ImageMeasures, floor: Sequence[float]) -> Html:
    """One image's certified cosine against radius, small."""
    frame = Frame(28, 8, 402, 116, 0.0, 2.0, 0.0, 1.0)
    drawn = [_rule(frame.left, frame.y(value), frame.right, frame.y(value)) for value in (0.0, 0.5, 1.0)]
    drawn += [_text(label, frame.left - 5, frame.y(value) + 4, "end") for value, label in ((0.0, "0"), (1.0, "1"))]
    drawn += [
        _text(label, frame.x(shift), frame.bottom + 17, "middle")
        for shift, label in ((0.0, "0"), (1.0, "σ"), (2.0, "2σ"))
    ]
    drawn.append(
        element("polyline", points=frame.points(_certified_points(floor, _cosine, 0.0)), class_="line thin floor")
    )
    for curve in reversed(image.curves):
        points = frame.points(_certified_points(curve.angles, _cosine, 0.0))
        drawn.append(element("polyline", points=points, class_=f"line thin {curve.bound}"))
    return _svg(138, f"Certified cosine against radius for {image.label}.", drawn)


def swatch(kind: str) -> Html:
    """A line of the legend."""
    line = element("line", x1=1, y1=6, x2=33, y2=6, class_=f"line {kind}")
    return element("svg", line, viewBox="0 0 34 12", width=34, height=12, aria_hidden="true")


def score_axis_low(section: Section) -> float:
    """Where the axis of scores begins."""
    lowest = min(image.certificate.score.lower for image in section.images)
    return min(0.95, math.floor(lowest * 20.0) / 20.0)


def image_bound(image: ImageMeasures) -> str:
    """The class of an image's own bound."""
    return image.curves[0].bound


def _score_ranks(images: list[ImageMeasures], low: float, ticks: list[float], said: str) -> Html:
    frame = Frame(50, 10, _WIDTH - 14, 250, 1.0, float(len(images)), low, 1.0)
    scores = [image.certificate.score for image in images]
    upper = [(rank, score.upper) for rank, score in enumerate(scores, 1)]
    lower = [(rank, score.lower) for rank, score in enumerate(scores, 1)]
    estimates = [(rank, score.estimate) for rank, score in enumerate(scores, 1)]
    bound = image_bound(images[0])
    drawn = [
        *(_rule(frame.left, frame.y(tick), frame.right, frame.y(tick)) for tick in ticks),
        *(_text(f"{tick:.4g}", frame.left - 6, frame.y(tick) + 4, "end") for tick in ticks),
        _text("1", frame.left, frame.bottom + 18, "middle"),
        _text(str(len(images)), frame.right, frame.bottom + 18, "end"),
        _text("images by score, best first", 0.5 * (frame.left + frame.right), frame.bottom + 38, "middle"),
        element("polygon", points=frame.points([*upper, *reversed(lower)]), class_=f"band {bound}"),
        element("polyline", points=frame.points(estimates), class_=f"line {bound}"),
    ]
    return _svg(frame.bottom + 48, said, drawn)


def _radius_frame(y_high: float) -> Frame:
    return Frame(46, 10, _WIDTH - 18, 250, 0.0, 2.0, 0.0, y_high)


def _radius_axes(frame: Frame, setting: Setting, ticks: Sequence[tuple[float, str]]) -> Html:
    drawn = []
    for value, label in ticks:
        drawn.append(_rule(frame.left, frame.y(value), frame.right, frame.y(value)))
        drawn.append(_text(label, frame.left - 7, frame.y(value) + 4, "end"))
    for shift, label in _TICK_SHIFTS:
        x = frame.x(shift)
        drawn.append(_rule(x, frame.bottom, x, frame.bottom + 5))
        drawn.append(_text(label, x, frame.bottom + 19, "middle"))
        if shift:
            drawn.append(_text(f"{shift * setting.sigma:.4g}", x, frame.bottom + 34, "middle", "label quiet"))
    drawn.append(_text("l2 radius", frame.left - 6, frame.bottom + 34, "start", "label quiet"))
    return join(*drawn)


def _cosine_ticks() -> list[tuple[float, str]]:
    return [(step / 5, f"{step / 5:.1f}") for step in range(6)]


def _angle_ticks() -> list[tuple[float, str]]:
    return [(15.0 * step, f"{15 * step}°") for step in range(7)]


def _certified_points(
    angles: Sequence[float], value: Callable[[float], float], edge: float
) -> list[tuple[float, float]]:
    """The curve as far as something is certified, then straight to the edge: never further than was certified."""
    points = [(shift, value(angle)) for shift, angle in zip(SHIFTS, angles, strict=True) if angle != math.pi]
    return points if len(points) == len(SHIFTS) else [*points, (points[-1][0] if points else 0.0, edge)]


def _steps(values: Sequence[float]) -> list[tuple[float, float]]:
    """A falling step curve: between two radii the fraction at the larger one holds."""
    points = [(SHIFTS[0], values[0])]
    for (before, last), (shift, value) in pairwise(zip(SHIFTS, values, strict=True)):
        if last:
            points.append((before, value))
        if value:
            points.append((shift, value))
    return points


def _cosine(angle: float) -> float:
    return max(0.0, math.cos(angle))


def _degrees(angle: float) -> float:
    return min(90.0, math.degrees(angle))


def _spoken(section: Section, quantity: Quantity) -> str:
    def at(curve: Curve, shift: float) -> str:
        angle = curve.angles[SHIFTS.index(shift)]
        if angle == math.pi:
            return "nothing certified"
        if quantity == "cosine":
            return rounded_down(math.cos(angle))
        return f"{rounded_up(math.degrees(angle), 1)} degrees"

    said = [
        f"{bound}: {at(section.median(bound), 0.5)} at σ/2, {at(section.median(bound), 1.0)} at σ"
        for bound in section.bounds
    ]
    return f"Certified {quantity} against radius, median of the images. " + "; ".join(said) + "."


def _rule(x1: float, y1: float, x2: float, y2: float) -> Html:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="rule")


def _text(text: str, x: float, y: float, anchor: str, kind: str = "label") -> Html:
    return element("text", text, x=x, y=y, text_anchor=anchor, class_=kind)


def _svg(height: float, said: str, drawn: list[Html]) -> Html:
    return element("svg", *drawn, viewBox=f"0 0 {_WIDTH:g} {height:g}", role="img", aria_label=said)
