"""Tables of predictions, and what they say in words."""

from rich.table import Table

from fs_runtime.certificates.prediction import PredictionCertificate
from fs_runtime.certification.prediction import Kind
from fs_runtime.cli.terminal import cell, printable, short_names, table
from fs_runtime.rounding import rounded_down

_NOTHING = "-"
_OTHER = "other"


def classify_table(certificates: list[PredictionCertificate]) -> Table:
    """Label, rival, and the certified radius, one image a row."""
    first = certificates[0]
    several, until = len(first.kinds) > 1, first.until is not None
    made = table(
        "image",
        "label" if len(first.labels) == 1 else f"{len(first.labels)} best labels",
        "runner-up",
        "radius",
        "kind",
        *((f"by\n{kind}" for kind in first.kinds) if several and not until else ()),
        *(("target", "draws") if until else ()),
        title=_title(first),
        words=3,
    )
    names = short_names(certificate.image.name for certificate in certificates)
    for certificate in certificates:
        made.add_row(
            cell(names[certificate.image.name]),
            cell(", ".join(label.name for label in certificate.labels)),
            cell(certificate.runner_up.name),
            *_best(certificate),
            *((_radius(certificate, kind) for kind in first.kinds) if several and not until else ()),
            *((certificate.outcome or _NOTHING, f"{certificate.draws:,}") if until else ()),
        )
    return made


def search_table(certificates: list[PredictionCertificate]) -> Table:
    """The nearest items, one a row, and with the first of an image the radius within which they are the nearest."""
    first = certificates[0]
    until = first.until is not None
    made = table(
        "image",
        "item",
        "rank",
        "index",
        "cosine",
        "radius\nof the set",
        "kind",
        *(("target", "draws") if until else ()),
        title=_title(first),
        words=2,
    )
    names = short_names(certificate.image.name for certificate in certificates)
    for certificate in certificates:
        name = names[certificate.image.name]
        for rank, (label, cosine) in enumerate(zip(certificate.labels, certificate.cosines, strict=True), 1):
            of_the_set: tuple[str, ...] = ()
            if rank == 1:
                outcome = (certificate.outcome or _NOTHING, f"{certificate.draws:,}") if until else ()
                of_the_set = (*_best(certificate), *outcome)
            image = cell(name if rank == 1 else "")
            made.add_row(image, cell(label.name), str(rank), str(label.index), f"{cosine:.3f}", *of_the_set)
    return made


def classify_explanation(certificates: list[PredictionCertificate]) -> str:
    """What a radius of :func:`classify_table` means."""
    first = certificates[0]
    stays = "the label" if len(first.labels) == 1 else f"the set of the {len(first.labels)} best labels"
    others = ""
    if any(set(each.own_kinds) != set(each.kinds) for each in certificates):
        others = f"; '{_OTHER}': most noisy copies have another label"
    return f"{_words(first, stays)} '{_NOTHING}' means that none is certified{others}."


def search_explanation(certificates: list[PredictionCertificate]) -> str:
    """What a radius of :func:`search_table` means, and what is not certified."""
    first = certificates[0]
    stays = f"which {len(first.labels)} items are the nearest" if len(first.labels) > 1 else "which item is the nearest"
    whose = "pilot's mean feature" if first.binding.reference_kind == "smoothed" else "bare encoder's feature"
    return (
        f"{_words(first, stays)} '{_NOTHING}' means that none is certified. Neither the order of the items nor their "
        f"cosines are certified: they are those of the {whose}."
    )


def _title(first: PredictionCertificate) -> str:
    draws = f"{first.draws} draws" if first.until is None else f"until {first.until}, at most {first.most_draws} draws"
    name = printable(first.prototypes.name)
    return (
        f"prototypes {name} ({first.prototypes.count}), sigma {first.binding.sigma:g}, {draws}, alpha {first.alpha:g}"
    )


def _best(certificate: PredictionCertificate) -> tuple[str, str]:
    if certificate.kind is None:
        return _NOTHING, _NOTHING
    return rounded_down(certificate.radius), certificate.kind


def _radius(certificate: PredictionCertificate, kind: Kind) -> str:
    if kind not in certificate.own_kinds:
        return _OTHER
    radius = certificate.radius_of(kind)
    return rounded_down(radius) if radius > 0.0 else _NOTHING


def _words(first: PredictionCertificate, stays: str) -> str:
    smoothed = [kind for kind in first.kinds if kind != "vote"]
    of = []
    if smoothed:
        of.append(f"for the smoothed feature (kind {' or '.join(smoothed)})")
    if "vote" in first.kinds:
        of.append("for most noisy copies (kind vote: another function than the smoothed feature)")
    return (
        f"With probability at least 1 - {first.alpha:g} a radius holds: no change of the graph's [0, 1] pixels of l2 "
        f"norm up to it changes {stays} {' or '.join(of)}."
    )
