"""The page: what it says, that nothing from a file becomes markup, and that it loads nothing."""

import html
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.report import Exhibit, read_results, words
from fs_runtime.report.markup import visible
from fs_runtime.report.measures import Measures, measure
from fs_runtime.report.page import MOST_PHOTOS, page, shown_images
from fs_runtime.rounding import rounded_down, rounded_up

Line = Callable[..., str]
HOSTILE = {
    "script": "<script>alert(1)</script>.png",
    "attribute": 'x" onload="alert(1)" y=\'.png',
    "terminal": "\x1b]0;title\x07\x1b[31mred.png",
    "override": "photo\u202egnp.exe",
    "entity": "&lt;b&gt;.png",
    "newline": "a\nb.png",
    "surrogate": "a\\udcff.png",
    "long": "x" * 5000 + ".png",
}
ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "h4", "p", "nav", "ol", "ul", "li", "a",
    "section", "dl", "div", "dt", "dd", "figure", "figcaption", "strong", "svg", "line", "polyline", "polygon",
    "circle", "text", "article", "img", "table", "caption", "thead", "tbody", "tr", "th", "td", "code", "bdi", "span",
}  # fmt: skip


class _Parsed(HTMLParser):
    """Tags, attributes and text of a page; checks that elements nest."""

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(content)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in ("meta", "img", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def _measures(*lines: str) -> Measures:
    return measure(read_results(io.BytesIO("\n".join(lines).encode() + b"\n"), "results.jsonl"))


def _page(*lines: str) -> str:
    return page(_measures(*lines))


def test_page_says_the_numbers_when_certified(line: Line, certificates: dict[str, FeatureCertificate]) -> None:
    certificate = certificates["gram"]
    text = _Parsed(_page(line("gram"))).text
    sigma = certificate.sigma
    assert "σ 0.25, 200 draws, α 0.01, bound gram" in text
    for shift in (0.25, 0.5, 1.0):
        assert words.certified(certificate.cosine(shift * sigma)) in text
    assert f"fcsb {words.certified(certificate.baseline().cosine(0.5 * sigma))}" in text
    radius = certificate.radius(0.9)
    assert radius > 0.0
    assert rounded_down(radius) in text
    assert rounded_down(certificate.original_radius(radius)) in text
    score = certificate.score
    assert f"{score.estimate:.3f} ({rounded_down(score.lower)}–{rounded_up(score.upper)})" in text
    assert certificate.provenance.graph_sha256[:12] in text
    assert "photo one.png" in text
    assert "fixed by caller" in text
    assert "illustration" in text
    for sentence in (*words.HOW_TO_READ, *words.NOT_CERTIFIED):
        assert sentence in text
    assert "here up to 1 α = 0.01" in text


def test_page_does_not_flag_the_seed_when_it_is_fresh(line: Line) -> None:
    text = _Parsed(_page(line("fresh"))).text
    assert "fixed by caller" not in text
    assert "the caller fixed the seed" not in text


def test_page_shows_the_photo_when_its_file_is_there(line: Line) -> None:
    made = _page(line("gram"))
    assert made.count('<img src="data:image/jpeg;base64,') == 2
    assert "No picture" not in made


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ({"name": "/nowhere/x.png"}, "the file is not here or cannot be read"),
        ({"name": "x\0.png"}, "the file is not here or cannot be read"),
        ({"name": "/"}, "the file is not here or cannot be read"),
        ({"name": "<array>"}, "was handed over in memory, not as a file"),
        ({"sha256": "0" * 64}, "the file holds other pixels now than were certified"),
    ],
)
def test_page_says_why_when_there_is_no_photo(line: Line, image: dict[str, str], reason: str) -> None:
    made = _page(line("gram", image=image))
    assert f"No picture: {reason}." in made
    assert "<img" not in made


@pytest.mark.parametrize("kind", HOSTILE)
def test_page_escapes_when_names_are_hostile(line: Line, kind: str) -> None:
    name = HOSTILE[kind]
    failed = {"schema": "fs-runtime/error/1", "image": name, "error": f"{name} is no image", "exit_code": 2}
    backend = {"name": name, "version": name, "device": name}
    made = _page(
        line("gram", image={"name": name}, generator=name, runtime=name, backend=backend),
        line("fcsb", image={"name": f"/a/{name}"}),
        line("fcsb", image={"name": f"/b/{name}"}),
        json.dumps(failed),
    )
    parsed = _Parsed(made)
    assert parsed.tags <= ALLOWED
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", made)
    assert "No picture" in parsed.text
    assert name.endswith("exe") or ".png" in parsed.text
    assert "x" * 500 not in made


def test_page_loads_nothing_when_opened(line: Line) -> None:
    failed = {
        "schema": "fs-runtime/error/1", "image": "<img src=http://evil.example/x>", "error": "url(//evil.example)",
    }  # fmt: skip
    made = _page(line("gram"), line("fcsb"), json.dumps(failed))
    parsed = _Parsed(made)
    for name, value in parsed.attributes:
        if name in ("src", "href", "xlink:href", "data", "poster", "srcset", "action"):
            assert str(value).startswith(("data:image/jpeg;base64,", "#"))
    style = re.search(r"<style>(.*?)</style>", made, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    outside = html.unescape(made).replace("http://evil.example/x", "")
    assert not re.search(r"https?:|<script|<link|<iframe|<object", outside)
    assert "default-src &#x27;none&#x27;" in made


def test_page_is_the_same_when_made_again(line: Line) -> None:
    lines = [line("gram"), line("fcsb"), line("scattering"), line("angle-law")]
    assert _page(*lines) == _page(*lines)


def test_page_makes_sections_when_settings_differ(line: Line) -> None:
    made = _page(line("gram"), line("angle-law"), line("fcsb"))
    headings = re.findall(r"<h2>(\d\. [^<]*)</h2>", made)
    assert headings == [
        f"{number}. σ 0.25, 200 draws, α 0.01, bound {bound}"
        for number, bound in enumerate(("gram", "angle-law", "fcsb"), 1)
    ]
    ids = re.findall(r' id="([^"]*)"', made)
    assert len(ids) == len(set(ids)) == 3
    assert re.findall(r'href="#([^"]*)"', made) == ids


def test_page_shows_every_image_but_few_photos_when_there_are_many(line: Line) -> None:
    lines = [line("fcsb", image={"name": f"{number}.png", "grid_distance": number / 1000}) for number in range(60)]
    measures = _measures(*lines)
    shown = [image.label for image in shown_images(measures.sections[0], MOST_PHOTOS)]
    assert shown == [f"{number}.png" for number in (*range(6), *range(54, 60))]
    made = page(measures)
    assert made.count("<article>") == MOST_PHOTOS
    assert all(f"<bdi>{number}.png</bdi></th>" in made for number in range(60))
    assert "images by score, best first" in made
    assert "59 certificates of them repeat an image" in made


def test_page_says_so_when_all_abstained(line: Line) -> None:
    text = _Parsed(_page(line("scattering"), line("scattering"))).text
    assert "For the median image nothing is certified" in text
    assert "2 images abstained" in text
    assert "band: worst to best" not in text
    assert "nan" not in text.lower().split()


def test_page_names_failures_and_the_torn_line_when_there_are(line: Line) -> None:
    failed = json.dumps({"schema": "fs-runtime/error/1", "image": "bad.png", "error": "bad.png is no image"})
    content = f"{line('gram')}\n{failed}\n{{".encode()
    text = _Parsed(page(measure(read_results(io.BytesIO(content), "x")))).text
    assert "1 image failed and got none" in text
    assert "bad.png is no image" in text
    assert "The last line of the results was torn" in text


def test_page_has_names_for_pictures_and_tables_when_read_aloud(line: Line) -> None:
    made = _page(line("gram"), line("fcsb"))
    for picture in re.findall(r"<img [^>]*>", made):
        assert re.search(r' alt="[^"]+"', picture)
    for chart in re.findall(r"<svg [^>]*>", made):
        assert 'aria-hidden="true"' in chart or re.search(r'role="img" aria-label="[^"]+"', chart)
    assert made.count("<table") == made.count("<caption>")


def test_style_has_enough_contrast_when_light_or_dark() -> None:
    style = (Path(words.__file__).parent / "style.css").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in style.split("@media")[:2])
    for theme in (light, dark):
        for name in ("ink", "quiet", "warn", "gram", "angle-law", "fcsb", "floor", "third"):
            for ground in ("page", "box"):
                needed = 4.5 if name in ("ink", "quiet", "warn") else 3.0
                assert _contrast(theme[name], theme[ground]) >= needed, (name, ground)


def _contrast(first: str, second: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("text", [HOSTILE["script"], HOSTILE["attribute"], HOSTILE["override"]])
def test_page_shows_exhibits_literally_when_there_are_some(line: Line, text: str) -> None:
    exhibit = Exhibit(text, text, (text, "b"), ((text, "1"), ("c", text)), Image.new("RGB", (30, 20)), text, text)
    made = page(_measures(line("gram")), (exhibit,))
    parsed = _Parsed(made)
    assert parsed.tags <= ALLOWED
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    assert parsed.text.count(visible(text)) == 6
    assert ("alt", visible(text)) in parsed.attributes
    assert made.count('<img src="data:image/jpeg;base64,') == 3
    assert made.index("<figure") < made.index('id="setting-1"')
