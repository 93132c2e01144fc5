"""The report as one HTML page: no script, nothing loaded from anywhere."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from fs_runtime.plural import count
from fs_runtime.report import charts, words
from fs_runtime.report.exhibit import Exhibit, exhibit_section
from fs_runtime.report.labels import label_section
from fs_runtime.report.markup import Html, element, join, name, shorten, visible
from fs_runtime.report.measures import COSINES, QUOTED, RADIUS_COSINE, ImageMeasures, Measures, Section
from fs_runtime.report.thumbnails import NoPhoto, find_photo, jpeg_uri
from fs_runtime.rounding import rounded_down, rounded_up

MOST_PHOTOS = 12
"""Of more images in a section, the least and the best certified are shown."""

_LONGEST_ERROR = 400

# The browser itself is told to load nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(measures: Measures, exhibits: Sequence[Exhibit] = ()) -> str:
    """The whole page; the same measures, exhibits and files always give the same text."""
    sections = measures.sections
    body = element(
        "main",
        element("h1", "Certified image features"),
        element("p", words.lead(measures), class_="lead"),
        _torn() if measures.torn else join(),
        *(exhibit_section(exhibit) for exhibit in exhibits),
        _contents(sections) if len(sections) > 1 else join(),
        *(_section(number, section, len(sections)) for number, section in enumerate(sections, 1)),
        *(label_section(section) for section in measures.label_sections),
        _explanations(measures),
        _failures(measures) if measures.failures else join(),
    )
    head = join(
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", "Certified image features"),
        element("style", Html(_style())),
    )
    return f"<!doctype html>\n{element('html', element('head', head), element('body', body), lang='en')}\n"


def shown_images(section: Section, most: int) -> list[ImageMeasures]:
    """All images of a small section; of a large one the least and the best certified, in the order of the results."""
    if len(section.images) <= most:
        return list(section.images)
    ranked = sorted(range(len(section.images)), key=lambda index: section.images[index].rank)
    return [section.images[index] for index in sorted(ranked[: most // 2] + ranked[-(most - most // 2) :])]


@cache
def _style() -> str:
    return files("fs_runtime.report").joinpath("style.css").read_text(encoding="utf-8")


def _torn() -> Html:
    return element("p", "The last line of the results was torn and is left out.", class_="note warn")


def _contents(sections: tuple[Section, ...]) -> Html:
    rows = [
        element(
            "li",
            element("a", words.setting_title(section.setting), href=f"#setting-{number}"),
            f": {count(len(section.images), 'image')}, {words.setting_details(section.setting)}",
        )
        for number, section in enumerate(sections, 1)
    ]
    return element("nav", element("p", "Certificates of different settings are shown apart:"), element("ol", *rows))


def _section(number: int, section: Section, of: int) -> Html:
    setting = section.setting
    title = words.setting_title(setting)
    return element(
        "section",
        element("h2", title if of == 1 else f"{number}. {title}"),
        element("p", words.setting_details(setting), class_="quiet"),
        _tiles(section),
        element("p", " ".join(words.headline(section))),
        _charts(section),
        _photos(section),
        _table(section),
        id=f"setting-{number}",
    )


def _tiles(section: Section) -> Html:
    setting = section.setting
    tiles = [_tile("images", str(len(section.images)), f"{section.abstained} abstained")]
    for shift in (0.5, 1.0):
        numbers = [f"{bound} {words.certified(section.median(bound).cosine(shift))}" for bound in section.bounds]
        label = join("median certified cosine at ", _together(words.radius_name(setting, shift)))
        others = [text for text in numbers[1:] if text.startswith("fcsb")]
        tiles.append(
            _tile(
                label,
                words.certified(section.median(setting.bound).cosine(shift)),
                f"{setting.bound}; " + others[0] if others else setting.bound,
            )
        )
    worst = section.worst
    tiles.append(
        _tile(
            join("worst image, at ", _together(words.radius_name(setting, 0.5))),
            words.certified(worst.curves[0].cosine(0.5)),
            name(worst.label),
        )
    )
    return element("dl", *tiles, class_="tiles")


def _together(text: str) -> Html:
    return element("span", text, class_="together")


def _tile(label: str, value: str, detail: str) -> Html:
    return element(
        "div",
        element("dt", label),
        element("dd", value, class_="value"),
        element("dd", detail, class_="quiet"),
    )


def _charts(section: Section) -> Html:
    legend = _legend([*((bound, bound) for bound in section.bounds), ("floor", "floor")])
    thresholds = _legend([(f"cosine{number}", f"cosine ≥ {cosine:g}") for number, cosine in enumerate(COSINES)])
    band = "Line: median image; band: worst to best image" if section.certified > 1 else ""
    if band:
        band += " of those that did not abstain. " if section.abstained else ". "
    return element(
        "div",
        _figure(
            "Certified cosine against radius",
            charts.curves_chart(section, "cosine"),
            legend,
            band + words.bounds_note(section),
        ),
        _figure(
            "Certified angle against radius",
            charts.curves_chart(section, "angle"),
            legend,
            "The same curves as angles to the reference; at the floor only more draws help.",
        ),
        _figure(
            "Certified fraction of images",
            charts.fraction_chart(section),
            thresholds,
            f"Images for which {section.setting.bound} certifies at least the cosine, of "
            f"{count(len(section.images), 'certificate')}; abstained ones count as not certified.",
        ),
        _figure("Robustness scores", charts.score_chart(section), join(), words.score_note(section.setting)),
        class_="charts",
    )


def _figure(title: str, chart: Html, legend: Html, note: str) -> Html:
    caption = element("figcaption", element("strong", title))
    return element("figure", caption, legend, chart, element("p", note, class_="note"))


def _legend(lines: list[tuple[str, str]]) -> Html:
    return element("ul", *(element("li", charts.swatch(kind), label) for kind, label in lines), class_="legend")


def _photos(section: Section) -> Html:
    shown = shown_images(section, MOST_PHOTOS)
    note = (
        f"Left: the photo. Right: the same with noise of σ = {section.setting.sigma:g}, an illustration: the central "
        "square at about the graph's resolution, with noise that is not the certificate's. "
        "Curves: certified cosine against radius."
    )
    if len(shown) < len(section.images):
        note += f" Shown: the {MOST_PHOTOS // 2} least and the {MOST_PHOTOS - MOST_PHOTOS // 2} best certified images."
    cards = [_card(image, section) for image in shown]
    return join(element("h3", "Photos"), element("p", note, class_="note"), element("div", *cards, class_="cards"))


def _card(image: ImageMeasures, section: Section) -> Html:
    certificate = image.certificate
    photo = find_photo(certificate)
    if isinstance(photo, NoPhoto):
        pictures = element("div", element("p", f"No picture: {photo.reason}."), class_="placeholder")
    else:
        pictures = element(
            "div",
            _picture(jpeg_uri(photo.clean), f"The photo {image.label}", photo.clean.width),
            _picture(jpeg_uri(photo.noisy), f"{image.label} with illustration noise", photo.noisy.width),
            class_="pair",
        )
    return element(
        "article",
        element("h4", name(image.label)),
        pictures,
        charts.image_chart(image, section.floor),
        element("p", f"Cosine {words.quoted(image)}.", class_="note"),
    )


def _picture(uri: str, said: str, side: int) -> Html:
    return element("img", src=uri, alt=said, width=side, height=side)


def _table(section: Section) -> Html:
    heads = [
        "image",
        "score",
        *(f"cosine at {label}" for _, label in QUOTED),
        f"radius of cosine {RADIUS_COSINE:g}",
        "… at the original image",
        "draws",
        "seed",
        "graph",
        "backend",
    ]
    note = (
        f"Robustness score with its interval, certified cosine at radii in units of σ = {section.setting.sigma:g}, "
        f"certified l2 radius of cosine {RADIUS_COSINE:g} at the graph's input and at the original image. "
        "– means that nothing is certified. "
    )
    fixed = sum(image.certificate.provenance.seed.source == "caller" for image in section.images)
    if fixed:
        note += f"In {count(fixed, 'certificate')} the caller fixed the seed: see what is not certified."
    head = element("tr", *(element("th", text, scope="col") for text in heads))
    table = element(
        "table",
        element("caption", f"{count(len(section.images), 'image')} at {words.setting_title(section.setting)}"),
        element("thead", head),
        element("tbody", *(_row(image) for image in section.images)),
    )
    scrolling = element("div", table, class_="scroll", role="region", tabindex=0, aria_label="Every image")
    return join(element("h3", "Every image"), element("p", note, class_="note"), scrolling)


def _row(image: ImageMeasures) -> Html:
    certificate = image.certificate
    score, provenance = certificate.score, certificate.provenance
    fixed = provenance.seed.source == "caller"
    numbers = [
        f"{score.estimate:.3f} ({rounded_down(score.lower)}–{rounded_up(score.upper)})",
        *(words.certified(image.curves[0].cosine(shift)) for shift, _ in QUOTED),
        *(words.radius(radius) for radius in (image.radius, certificate.original_radius(image.radius))),
        str(certificate.draws),
    ]
    facts = [
        element("td", "⚠ fixed by caller", class_="warn wrap") if fixed else element("td", "fresh"),
        element("td", element("code", provenance.graph_sha256[:12])),
        element("td", name(words.backend_name(certificate.provenance.backend)), class_="wrap"),
    ]
    return element(
        "tr",
        element("th", name(image.label, 60), scope="row"),
        *(element("td", text, class_="number") for text in numbers),
        *facts,
    )


def _explanations(measures: Measures) -> Html:
    return element(
        "div",
        element(
            "section",
            element("h2", "How to read this"),
            element("ol", *(element("li", text) for text in words.HOW_TO_READ)),
        )
        if measures.sections
        else join(),
        element(
            "section",
            element("h2", "What is not certified"),
            *(element("p", text) for text in (*words.NOT_CERTIFIED, words.many_certificates(measures))),
        ),
        class_="boxes",
    )


def _failures(measures: Measures) -> Html:
    rows = [
        element(
            "tr",
            element("th", name(failure.image), scope="row"),
            element("td", shorten(visible(failure.error), _LONGEST_ERROR)),
        )
        for failure in measures.failures
    ]
    table = element(
        "table",
        element("caption", "They are not counted in any number above."),
        element("thead", element("tr", element("th", "image", scope="col"), element("th", "why", scope="col"))),
        element("tbody", *rows),
        class_="words",
    )
    scrolling = element("div", table, class_="scroll", role="region", tabindex=0, aria_label="Images that failed")
    return element("section", element("h2", "Images that failed"), scrolling)
