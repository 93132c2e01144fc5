"""What whoever makes a report may add to it: a table and a picture of their own."""

from dataclasses import dataclass

from PIL import Image

from fs_runtime.report.markup import Html, element
from fs_runtime.report.thumbnails import jpeg_uri


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A section of the page, before the certificates; every text is shown literally.

    Attributes:
        title: of the section.
        words: what the table says.
        heads: of the table's columns.
        rows: of the table, the first cell of each its name.
        picture: below the table.
        said: what the picture shows, for those who cannot see it.
        note: below the picture.
    """

    title: str
    words: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    picture: Image.Image
    said: str
    note: str


def exhibit_section(exhibit: Exhibit) -> Html:
    """It in the page."""
    table = element(
        "table",
        element("thead", element("tr", *(element("th", head, scope="col") for head in exhibit.heads))),
        element("tbody", *(_row(row) for row in exhibit.rows)),
    )
    picture = exhibit.picture
    return element(
        "section",
        element("h2", exhibit.title),
        element("p", exhibit.words),
        element("div", table, class_="scroll", role="region", tabindex=0, aria_label=exhibit.title),
        element(
            "figure",
            element(
                "img",
                src=jpeg_uri(picture.convert("RGB")),
                alt=exhibit.said,
                width=picture.width,
                height=picture.height,
            ),
            element("p", exhibit.note, class_="note"),
            class_="exhibit",
        ),
    )


def _row(cells: tuple[str, ...]) -> Html:
    first, *others = cells
    return element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in others))
