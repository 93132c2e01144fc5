"""The part of the page about predictions: labels, and the radii within which they stay."""

from fs_runtime.certificates.prediction import PredictionCertificate
from fs_runtime.plural import count
from fs_runtime.report.markup import Html, element, join, name
from fs_runtime.report.measures import LabelSection
from fs_runtime.report.words import radius

_MOST_LABELS = 5
_HEADS = ("image", "labels", "runner-up", "radius", "… at the original image", "kind", "target", "draws", "seed")


def label_section(section: LabelSection) -> Html:
    """One table: the predictions that were made by the same settings."""
    setting = section.setting
    title = f"Labels: {setting.prototypes} ({setting.labels}), σ {setting.sigma:g}, α {setting.alpha:g}"
    table = element(
        "table",
        element("caption", _caption(section)),
        element("thead", element("tr", *(element("th", text, scope="col") for text in _HEADS))),
        element("tbody", *(_row(label, each) for label, each in section.predictions)),
    )
    return element(
        "section",
        element("h2", title),
        element("p", f"Graph {setting.graph_sha256[:12]}, {setting.draws}.", class_="quiet"),
        element("p", _words(section)),
        element("div", table, class_="scroll", role="region", tabindex=0, aria_label="Every prediction"),
    )


def _caption(section: LabelSection) -> str:
    abstained = sum(each.abstained for _, each in section.predictions)
    return f"{count(len(section.predictions), 'image')}, of which {abstained} abstained"


def _words(section: LabelSection) -> str:
    kinds = section.setting.kinds
    of = []
    if smoothed := [kind for kind in kinds if kind != "vote"]:
        of.append(f"of the smoothed feature (kind {' or '.join(smoothed)})")
    if "vote" in kinds:
        of.append("of most noisy copies (kind vote, another function)")
    return (
        "A radius means: no change of the graph's pixels (in [0, 1]) with l2 norm up to it changes the set of labels "
        f"{' or '.join(of)}. It holds with probability 1 - α. – means that none is certified. The order of several "
        "labels is not certified."
    )


def _row(label: str, certificate: PredictionCertificate) -> Html:
    shown = [each.name for each in certificate.labels[:_MOST_LABELS]]
    more = len(certificate.labels) - len(shown)
    labels = join(*(join(", " if number else "", name(text)) for number, text in enumerate(shown)))
    fixed = certificate.provenance.seed.source == "caller"
    return element(
        "tr",
        element("th", name(label, 60), scope="row"),
        element("td", labels, f" and {more} more" if more else "", class_="wrap"),
        element("td", name(certificate.runner_up.name, 60), class_="wrap"),
        element("td", radius(certificate.radius), class_="number"),
        element("td", radius(certificate.original_radius()), class_="number"),
        element("td", certificate.kind or "–"),
        element("td", "–" if certificate.until is None else f"{certificate.until.radius:g}: {certificate.outcome}"),
        element("td", f"{certificate.draws:,}", class_="number"),
        element("td", "⚠ fixed by caller", class_="warn wrap") if fixed else element("td", "fresh"),
    )
