"""The report's sentences."""

from fs_runtime.backends import BackendInfo
from fs_runtime.plural import count
from fs_runtime.report.markup import shorten, visible
from fs_runtime.report.measures import QUOTED, Curve, ImageMeasures, Measures, Section, Setting
from fs_runtime.rounding import rounded_down

BOUND_NOTES = {
    "gram": "the Gram law, from the features of all draws",
    "angle-law": "the angle law, from one cosine a draw",
    "fcsb": "the bound of arXiv 2601.16200",
}


def certified(cosine: float) -> str:
    """A certified cosine; a dash where nothing is certified."""
    return "–" if cosine == -1.0 else rounded_down(cosine)


def radius(found: float) -> str:
    """A certified radius; a dash where none is."""
    return "–" if found == 0.0 else rounded_down(found)


def quoted(image: ImageMeasures) -> str:
    """An image's certified cosines, as words."""
    own = image.curves[0]
    numbers = [f"{certified(own.cosine(shift))} at {name}" for shift, name in QUOTED if own.cosine(shift) != -1.0]
    return ", ".join(numbers) if numbers else "certified nowhere"


def radius_name(setting: Setting, shift: float) -> str:
    """``σ/2 = 0.05``."""
    symbol = dict(QUOTED)[shift]
    return f"{symbol} = {shift * setting.sigma:.4g}"


def setting_title(setting: Setting) -> str:
    """What the images of a section share, in one line."""
    return f"σ {setting.sigma:g}, {setting.draws} draws, α {setting.alpha:g}, bound {setting.bound}"


def setting_details(setting: Setting) -> str:
    """The rest of what they share."""
    return (
        f"{setting.pilot} pilot draws, reference {setting.reference_kind}, graph {setting.graph_sha256[:12]}, "
        f"on {backend_name(setting.backend)}."
    )


def backend_name(backend: BackendInfo) -> str:
    """``onnxruntime 1.20.0 cpu``."""
    return shorten(visible(f"{backend.name} {backend.version} {backend.device}"), 80)


def headline(section: Section) -> list[str]:
    """The result of a section in plain words, a sentence each."""
    setting, worst = section.setting, section.worst
    own = section.median(setting.bound)
    shift = next((each for each in (0.5, 0.25) if own.cosine(each) != -1.0), None)
    whom = "the median image" if len(section.images) > 1 else "the image"
    if shift is None:
        said = [f"For {whom} nothing is certified at the radius {radius_name(setting, 0.25)} or beyond."]
    else:
        said = [
            f"For {whom}, no change of the pixels with l2 norm up to {radius_name(setting, shift)} brings "
            f"the cosine between its smoothed feature and the certified one below {certified(own.cosine(shift))}; "
            f"up to {radius_name(setting, 1.0)}, {_below(own)}."
        ]
        if setting.bound != "fcsb":
            said.append(_baseline(section.median("fcsb"), shift))
    if len(section.images) > 1:
        if worst.curves[0].cosine(0.25) == -1.0:
            said.append("For the worst image nothing is certified at any of these radii.")
        else:
            said.append(f"The worst image has {quoted(worst)}.")
    if section.abstained:
        said.append(f"{count(section.abstained, 'image')} abstained: nothing at all is certified there.")
    return said


def lead(measures: Measures) -> str:
    """The first sentence of the page."""
    images, predictions, failed = (len(each) for each in (measures.images, measures.predictions, measures.failures))
    parts = []
    if images:
        part = (
            f"{count(images, 'certificate')}: how far any l2-bounded attack can turn the smoothed feature of an image"
        )
        settings = len(measures.sections)
        parts.append(part + (f", in {settings} settings" if settings > 1 else ""))
    if predictions:
        parts.append(f"{count(predictions, 'prediction')}: labels of images, and the l2 radius within which they stay")
    said = ". ".join(parts)
    return said + (f". {count(failed, 'image')} failed and got none." if failed else ".")


HOW_TO_READ = (
    "A certified cosine c at the radius r means: no change of the graph's pixels (in [0, 1]) with l2 norm up to r "
    "brings the cosine between the smoothed feature and the certified reference below c; the certified angle is the "
    "same statement in degrees.",
    "It holds for all radii at once, with probability 1 - α over the noise that the runtime drew.",
    "Higher cosines and lower angles are better, a curve that drops to the edge certifies nothing from there on, and "
    "none can pass the floor, the best that so many draws allow: only more draws move it.",
    "The score is E[(1 + cos) / 2] over the noise, cos being a noisy copy's cosine to the reference: near 1 the "
    "encoder hardly notices the noise, which by itself is no guarantee against an attacker.",
    "The radius at the original image counts changes of the photo before it is resized.",
)

NOT_CERTIFIED = (
    "Nothing is said of larger changes or other kinds of them (rotations, crops, patches), of the encoder without its "
    "noise, of another graph or backend, or of whether a feature or a label is right.",
    "This page shows the numbers of the results file and neither draws again nor proves who wrote it, and a "
    "certificate whose seed the caller fixed is void against an attacker who knew the seed.",
)


def many_certificates(measures: Measures) -> str:
    """What alpha means over all of them."""
    images = len(measures.certificates)
    alphas = {certificate.alpha for certificate in measures.certificates}
    total = f"{images} α = " if len(alphas) == 1 else "the sum of their α, "
    said = (
        f"Each certificate has its own α: over N images some certificate fails with probability up to N α, "
        f"here up to {total}{measures.failing:.3g}"
    )
    said += ", so nothing is said of all of them together." if measures.failing >= 1.0 else "."
    names = [certificate.image.sha256 for certificate in measures.certificates]
    again = len(names) - len(set(names))
    if again:
        said += f" {count(again, 'certificate')} of them repeat an image: each spent its α again."
    return said


def score_note(setting: Setting) -> str:
    """What the score is about."""
    about = (
        "the mean feature of the pilot's noisy copies (reference: smoothed)"
        if setting.reference_kind == "smoothed"
        else "the bare encoder's feature of the image without noise (reference: clean)"
    )
    return (
        f"The score is about {about}. Whiskers: an interval at level α = {setting.alpha:g} for each image, "
        "a statement of its own."
    )


def bounds_note(section: Section) -> str:
    """How the bounds of a section relate."""
    bounds = section.bounds
    said = [f"{bound}: {BOUND_NOTES[bound]}" for bound in bounds]
    if len(bounds) == 1:
        return said[0] + "."
    note = "; ".join(said) + ". All from the same draws; "
    if "gram" in bounds:
        note += "the angle law holds together with gram, at level α/2, and "
    return note + "fcsb is a statement of its own at level α."


def _below(own: Curve) -> str:
    cosine = own.cosine(1.0)
    return "nothing is certified" if cosine == -1.0 else f"below {rounded_down(cosine)}"


def _baseline(median: Curve, shift: float) -> str:
    first, second = certified(median.cosine(shift)), certified(median.cosine(1.0))
    if median.cosine(shift) == -1.0:
        return "The bound fcsb certifies nothing there from the same draws."
    if median.cosine(1.0) == -1.0:
        return f"From the same draws the bound fcsb certifies {first}, and nothing at σ."
    return f"From the same draws the bound fcsb certifies {first} and {second}."
