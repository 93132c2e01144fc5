"""The picture: a PNG, always the same, whatever is in the names."""

import io
import sys
from collections.abc import Callable

import matplotlib
import pytest
from PIL import Image

from fs_runtime.report import MissingMatplotlibError, read_results
from fs_runtime.report.measures import Measures, measure
from fs_runtime.report.overview import overview

Line = Callable[..., str]


def _measures(*lines: str) -> Measures:
    return measure(read_results(io.BytesIO("\n".join(lines).encode() + b"\n"), "results.jsonl"))


def test_overview_is_the_same_picture_when_drawn_again(line: Line) -> None:
    measures = _measures(line("gram"), line("fcsb"))
    first = overview(measures)
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "axes.facecolor": "red"}):
        assert overview(measures) == first
        assert matplotlib.rcParams["font.size"] == 30
    with Image.open(io.BytesIO(first)) as picture:
        assert picture.format == "PNG"
        assert picture.width == 1050
        assert picture.info.keys() <= {"dpi"}


def test_overview_grows_by_three_settings_at_most_when_there_are_more(line: Line) -> None:
    heights = []
    for count in (1, 3, 5):
        made = overview(_measures(*(line("gram", pilot=number + 1) for number in range(count))))
        with Image.open(io.BytesIO(made)) as picture:
            heights.append(picture.height)
    assert heights[1] == heights[2] == 3 * heights[0]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["$\\frac{$.png", "写真.png", "\x1b[31m\u202e.png", "a\nb.png", "%s{0}.png", ""])
def test_overview_is_drawn_when_names_are_hostile(line: Line, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert overview(_measures(line("gram", image={"name": name}), line("gram"))).startswith(b"\x89PNG")
    assert capfd.readouterr().err == ""


def test_overview_is_drawn_when_many_images_or_all_abstained(line: Line) -> None:
    assert overview(_measures(*(line("gram", image={"name": f"{n}.png"}) for n in range(30)))).startswith(b"\x89PNG")
    assert overview(_measures(line("scattering"), line("scattering"))).startswith(b"\x89PNG")


def test_overview_names_the_remedy_when_matplotlib_is_missing(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    measures = _measures(line("gram"))
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingMatplotlibError, match=r"pip install 'fs-runtime\[report\]'") as caught:
        overview(measures)
    assert caught.value.exit_code == 4
