"""The overview picture, drawn by matplotlib: what a README shows."""

import io
import math
import warnings
from typing import TYPE_CHECKING, Any

from PIL import Image

from fs_runtime.errors import FsError
from fs_runtime.plural import count
from fs_runtime.report import words
from fs_runtime.report.charts import score_axis_low
from fs_runtime.report.markup import shorten
from fs_runtime.report.measures import COSINES, SHIFTS, ImageMeasures, Measures, Section
from fs_runtime.report.page import shown_images
from fs_runtime.report.thumbnails import NoPhoto, find_photo

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

MOST_SECTIONS = 3
MOST_PHOTOS = 4
MOST_SCORES = 24

_INK, _QUIET, _RULE = "#1b1f24", "#57606a", "#dfe3e7"
_COLOURS = {"gram": "#0067a8", "angle-law": "#00795a", "fcsb": "#c04a00", "floor": "#6e6e6e"}
_DASHES: dict[str, str | tuple[int, tuple[float, ...]]] = {
    "gram": "-",
    "angle-law": (0, (5, 2)),
    "fcsb": (0, (1.2, 1.4)),
    "floor": (0, (7, 2, 1, 2)),
}
_THRESHOLDS = (("#8a3d80", "gram"), ("#00795a", "angle-law"), ("#0067a8", "fcsb"))
_WIDTH, _HEIGHT, _DPI = 10.5, 8.6, 100


class MissingMatplotlibError(FsError):
    """matplotlib is not installed, or cannot be imported."""

    exit_code = 4


def require_matplotlib() -> None:
    """Make sure that the picture can be drawn, before any work is done.

    Raises:
        MissingMatplotlibError: it cannot.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingMatplotlibError(
            f"a report needs matplotlib, which cannot be imported ({error}): pip install 'fs-runtime[report]'"
        ) from error


def overview(measures: Measures) -> bytes:
    """A PNG of the first three settings: curves, fractions, scores and a few photos.

    Raises:
        MissingMatplotlibError: matplotlib is not installed.
    """
    require_matplotlib()
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = measures.sections[:MOST_SECTIONS]
    buffer = io.BytesIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; a warning for each would help nobody.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_style())
        figure = Figure(figsize=(_WIDTH, _HEIGHT * len(shown)), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(figure)
        parts = figure.subfigures(len(shown), 1, squeeze=False)[:, 0]
        for number, (part, section) in enumerate(zip(parts, shown, strict=True), 1):
            _draw(part, section, _title(number, section, measures))
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return _few_colours(buffer)


def _few_colours(png: io.BytesIO) -> bytes:
    """The same picture with a palette: a third of the size, and the noise of the photos still looks alike."""
    small = io.BytesIO()
    with Image.open(png) as picture:
        reduced = picture.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)
    reduced.save(small, "PNG", optimize=True)
    return small.getvalue()


def _style() -> dict[Any, Any]:
    return {
        "font.family": "DejaVu Sans",
        "font.size": 9.5,
        "text.color": _INK,
        "text.parse_math": False,
        "axes.edgecolor": _RULE,
        "axes.labelcolor": _QUIET,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": _RULE,
        "grid.linewidth": 0.7,
        "xtick.color": _QUIET,
        "ytick.color": _QUIET,
        "lines.linewidth": 2.0,
        "legend.frameon": False,
        "legend.handlelength": 3.4,
    }


def _title(number: int, section: Section, measures: Measures) -> str:
    title = f"{count(len(section.images), 'image')}: {words.setting_title(section.setting)}"
    if len(measures.sections) > 1:
        return f"{number} of {len(measures.sections)} settings. {title}"
    return title


def _draw(part: "SubFigure", section: Section, title: str) -> None:
    part.text(0.03, 0.97, "Certified image features", fontsize=16, fontweight="bold", va="center")
    part.text(0.03, 0.937, title, fontsize=10.5, color=_QUIET, va="center")
    left, right, gap = 0.065, 0.985, 0.09
    width = (right - left - gap) / 2
    boxes = [(left + column * (width + gap), bottom, width, 0.235) for bottom in (0.645, 0.315) for column in range(2)]
    _curves(part.add_axes(boxes[0]), section, "cosine")
    _curves(part.add_axes(boxes[1]), section, "angle")
    _fractions(part.add_axes(boxes[2]), section)
    names = 0.035  # more room for the names of images
    x, y, width, height = boxes[3]
    _scores(part.add_axes((x + names, y, width - names, height)), section)
    _photos(part, section)


def _curves(axes: "Axes", section: Section, quantity: str) -> None:
    cosine = quantity == "cosine"
    for bound in section.bounds:
        if section.certified > 1:
            best, least = (_values(curve.angles, cosine) for curve in section.band(bound))
            axes.fill_between(SHIFTS, best, least, color=_COLOURS[bound], alpha=0.15, linewidth=0)
        _line(axes, section.median(bound).angles, cosine, bound)
    _line(axes, section.floor, cosine, "floor")
    axes.set_ylim((0.0, 1.02) if cosine else (0.0, 91.0))
    if not cosine:
        axes.set_yticks(range(0, 91, 15), [f"{degrees}°" for degrees in range(0, 91, 15)])
    axes.set_title(f"Certified {quantity} against l2 radius")
    if cosine:  # the angles have the same lines
        axes.legend(loc="best", fontsize=9)
    _radius_axis(axes, section)


def _line(axes: "Axes", angles: tuple[float, ...], cosine: bool, kind: str) -> None:
    points = [(shift, angle) for shift, angle in zip(SHIFTS, angles, strict=True) if angle != math.pi]
    if len(points) < len(SHIFTS):
        points.append((points[-1][0] if points else 0.0, math.pi))
    axes.plot(
        [shift for shift, _ in points],
        _values(tuple(angle for _, angle in points), cosine),
        color=_COLOURS[kind],
        linestyle=_DASHES[kind],
        linewidth=1.3 if kind == "floor" else None,
        label=kind,
    )


def _values(angles: tuple[float, ...], cosine: bool) -> list[float]:
    if cosine:
        return [max(0.0, math.cos(angle)) for angle in angles]
    return [min(90.0, math.degrees(angle)) for angle in angles]


def _fractions(axes: "Axes", section: Section) -> None:
    for cosine, (colour, dash) in zip(COSINES, _THRESHOLDS, strict=True):
        fractions = [100.0 * fraction for fraction in section.fractions(cosine)]
        axes.step(SHIFTS, fractions, where="pre", color=colour, linestyle=_DASHES[dash], label=f"cosine ≥ {cosine:g}")
    axes.set_ylim(0.0, 102.0)
    axes.set_yticks(range(0, 101, 25), [f"{percent}%" for percent in range(0, 101, 25)])
    axes.set_title(f"Images certified by {section.setting.bound}")
    axes.legend(loc="best", fontsize=9)
    _radius_axis(axes, section)


def _radius_axis(axes: "Axes", section: Section) -> None:
    ticks = ((0.0, "0"), (0.5, "σ/2"), (1.0, "σ"), (1.5, "3σ/2"), (2.0, "2σ"))
    labels = [label if shift == 0.0 else f"{label}\n{shift * section.setting.sigma:.4g}" for shift, label in ticks]
    axes.set_xticks([shift for shift, _ in ticks], labels)
    axes.set_xlim(0.0, 2.0)


def _scores(axes: "Axes", section: Section) -> None:
    images = sorted(section.images, key=lambda image: image.certificate.score.estimate)
    scores = [image.certificate.score for image in images]
    rows = list(range(len(images)))
    colour = _COLOURS[section.setting.bound]
    axes.set_xlim(score_axis_low(section), 1.003)
    if len(images) <= MOST_SCORES:
        axes.hlines(rows, [score.lower for score in scores], [score.upper for score in scores], color=colour, lw=1.8)
        axes.plot([score.estimate for score in scores], rows, "o", color=colour, markersize=5)
        size = 9.0 if len(images) <= 8 else 6.0
        axes.set_yticks(rows, [shorten(image.label, 18) for image in images], fontsize=size)
    else:
        lower, upper = [score.lower for score in scores], [score.upper for score in scores]
        axes.fill_betweenx(rows, lower, upper, color=colour, alpha=0.2, linewidth=0)
        axes.plot([score.estimate for score in scores], rows, color=colour)
        axes.set_yticks([])
        axes.set_ylabel(f"{len(images)} images, by score")
    axes.set_ylim(-0.7, len(images) - 0.3)
    axes.set_title("Gaussian robustness score, with interval")


def _photos(part: "SubFigure", section: Section) -> None:
    shown = shown_images(section, MOST_PHOTOS)
    width, gap = 0.945 / MOST_PHOTOS, 0.01
    for index, image in enumerate(shown):
        left = 0.03 + index * width
        numbers = f"{words.certified(image.curves[0].cosine(0.5))} at σ/2"
        part.text(left, 0.229, shorten(image.label, 16), fontsize=9, fontweight="bold", va="center")
        part.text(left + width - gap - 0.008, 0.229, numbers, fontsize=9, color=_QUIET, va="center", ha="right")
        _pair(part, image, left, (width - gap - 0.012) / 2)
    note = "Photos with and without noise of σ (an illustration), and their certified cosine."
    if len(shown) < len(section.images):
        note += " The two least and the two best certified images."
    part.text(0.03, 0.04, note, fontsize=8.5, color=_QUIET, va="center")


def _pair(part: "SubFigure", image: ImageMeasures, left: float, width: float) -> None:
    photo = find_photo(image.certificate)
    height = width * _WIDTH / _HEIGHT
    bottom = 0.213 - height
    if isinstance(photo, NoPhoto):
        axes = part.add_axes((left, bottom, 2 * width + 0.004, height), facecolor="#f2f3f5")
        axes.set(xticks=[], yticks=[])
        axes.text(
            0.5, 0.5, f"no picture:\n{photo.reason}", fontsize=6.5, color=_QUIET, ha="center", va="center", wrap=True
        )
        return
    for column, picture in enumerate((photo.clean, photo.noisy)):
        axes = part.add_axes((left + column * (width + 0.004), bottom, width, height))
        axes.imshow(picture, interpolation="antialiased")
        axes.set_axis_off()
