"""The whole evaluation: what the bare encoder, FS and FS + GSB do, without attack and under it."""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from fs_exporters.evaluation.at_once import at_once
from fs_exporters.evaluation.goals import Floats, Labels
from fs_exporters.evaluation.image import ImageWork, Subject
from fs_exporters.evaluation.photos import Photo, find_photos, true_labels
from fs_exporters.evaluation.results import ImageResult
from fs_exporters.evaluation.settings import EvaluationPlaces, EvaluationSettings
from fs_exporters.evaluation.store import Facts, ResultsFolder
from fs_exporters.evaluation.summary import Summary, summarised
from fs_exporters.evaluation.systems import System, systems_of
from fs_exporters.evaluation.tables import markdown_of
from fs_models.encoders import EncoderAdapter
from fs_models.gsb import Booster
from fs_models.threads import torch_threads
from fs_runtime.bundle import Bundle
from fs_runtime.bundle.prototypes import Prototypes
from fs_runtime.cli.terminal import encodable
from fs_runtime.environment import default_threads
from fs_runtime.errors import ImageError, InputError
from fs_runtime.preprocess import prepare
from fs_runtime.version import __version__

SCHEMA = "fs-export/evaluation/1"
_MOST_PARAMETERS_AT_ONCE = 30_000_000
_MOST_IMAGES_AT_ONCE = 8


@dataclass(frozen=True)
class Watch:
    """What an evaluation calls as it goes: one call after the other, though several threads make them.

    Attributes:
        on_work: called with what is running, the noisy copies that went through an encoder (one that gradients go back
            through counts thrice) and how many there will be.
        on_image: called with an image's result, the images done and the images in all.
    """

    on_work: Callable[[str, int, int], None] = lambda *_: None
    on_image: Callable[[ImageResult, int, int], None] = lambda *_: None


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that was written.

    Attributes:
        facts: everything that the results depend on.
        summary: over the images.
        images: their results, in the order of their names.
        json: file with all of it.
        markdown: file with the tables.
    """

    facts: Facts
    summary: Summary
    images: tuple[ImageResult, ...]
    json: Path
    markdown: Path


def evaluate_encoder(
    encoder: EncoderAdapter,
    data: Path,
    settings: EvaluationSettings,
    places: EvaluationPlaces,
    *,
    prototypes: Prototypes | None = None,
    boosters: Mapping[float, Booster] | None = None,
    booster_sha256: str | None = None,
    bundle: Bundle | None = None,
    threads: int | None = None,
    watch: Watch = Watch(),
) -> Evaluation:
    """Measure the bare encoder, its smoothed feature, and that with a booster, on the images of a folder.

    What runs is the PyTorch module that bundles are traced from, in fp32, since attacks need its gradients; where it
    has batch norms, a copy with these folded into convolutions.

    Args:
        encoder: bare encoder. One with batch norms is copied, and stays as it is; another is itself frozen and moved
            to the device, its weights laid out channels last.
        data: folder of images, at any depth.
        settings: what to do.
        places: where results go.
        prototypes: of the labels; None: there are none, and what needs them is left out.
        boosters: by sigma; FS + GSB is left out at the others.
        booster_sha256: hash of their checkpoint, for the record.
        bundle: that the encoder was exported to, for the record.
        threads: for the noise and PyTorch; default: the cores this process may use. With a small encoder on a CPU as
            many images are worked on at once, at most eight, each on one thread of PyTorch; so its results do not
            depend on this. PyTorch's own setting is as before afterwards.
        watch: what is told of the progress.

    Raises:
        InputError: an argument is out of range, images or labels are missing, or the folder holds other results.
        NoGradientError: attacks on a system would mean nothing.
    """
    boosters = boosters or {}
    settings.check()
    labels = None if prototypes is None else Labels(prototypes.vectors, prototypes.labels)
    if labels is not None and labels.vectors.shape[1] != math.prod(encoder.spec.feature_shape):
        raise InputError(
            f"the prototypes have {labels.vectors.shape[1]} dimensions, but the features of {encoder.spec.model} have "
            f"{math.prod(encoder.spec.feature_shape)}: give --prototypes of this encoder"
        )
    settings = settings.with_goals(labels=labels is not None)
    folder = ResultsFolder(places)
    folder.check()
    threads = threads or default_threads()
    paths = find_photos(data, settings.effort.images)
    photos, truth = true_labels(settings.truth, data, paths, None if labels is None else labels.names)
    systems = systems_of(encoder, boosters, sigmas=settings.sigmas, device=settings.device, batch=settings.batch)
    small = _is_small(systems.encoder)
    # Operators round by their threads: a small encoder has one for each, whatever remains and whoever goes on with it.
    with torch_threads(1 if small else threads):
        subjects, skipped = _read(photos, systems.encoder, labels)
        others = _others(subjects)
        facts = {
            **_facts(encoder, settings, prototypes, subjects, skipped, truth),
            "batch_norms": systems.batch_norms,
            "gsb_sha256": booster_sha256,
            "bundle_sha256": None if bundle is None else bundle.manifest_sha256,
            "bundle_precision": None if bundle is None else bundle.graph("smoothed").precision,
        }
        folder.open(facts)
        workers = min(threads, _MOST_IMAGES_AT_ONCE) if small else 1
        work = ImageWork(settings, systems, labels, threads // workers)
        _work_on(subjects, others, work=work, workers=workers, folder=folder, watch=watch)
    images = tuple(folder.done[subject.sha256] for subject in subjects)
    summary = summarised(images, [folder.features(image.sha256) for image in images])
    document = {"schema": SCHEMA, "settings": facts, **asdict(summary), "images": images}
    written = folder.write(document, markdown_of(facts, summary))
    return Evaluation(facts, summary, images, *written)


def _work_on(
    subjects: Sequence[Subject],
    others: Mapping[str, Subject],
    *,
    work: ImageWork,
    workers: int,
    folder: ResultsFolder,
    watch: Watch,
) -> None:
    """Do the images that are not done yet, each kept as it is done."""
    remaining = [subject for subject in subjects if subject.sha256 not in folder.done]
    total, done, telling = len(remaining) * work.copies, 0, threading.Lock()

    def one(subject: Subject, go_on: Callable[[], None]) -> tuple[ImageResult, dict[str, Floats]]:
        def advance(what: str, copies: int) -> None:
            nonlocal done
            go_on()
            with telling:
                done += copies
                watch.on_work(what, done, total)

        return work.one(subject, others[subject.sha256], advance)

    with closing(at_once(one, remaining, workers)) as results:
        for result, features in results:
            folder.add(result, features)
            with telling:
                watch.on_image(result, len(folder.done), len(subjects))


def _is_small(bare: System) -> bool:
    """Whether several images go at once: large networks keep several threads busy, and their gradients need memory."""
    parameters = sum(parameter.numel() for parameter in bare.graph.parameters())
    return bare.device.type == "cpu" and parameters <= _MOST_PARAMETERS_AT_ONCE


def _read(photos: tuple[Photo, ...], bare: System, labels: Labels | None) -> tuple[tuple[Subject, ...], dict[str, str]]:
    """The images that can be read, each once, and why the others cannot."""
    subjects: dict[str, Subject] = {}
    skipped: dict[str, str] = {}
    for photo in photos:
        try:
            image = prepare(photo.path, bare.graph.encoder.spec.preprocess)
        except ImageError as error:
            skipped[photo.name] = encodable(str(error))
            continue
        if image.sha256 in subjects:
            skipped[photo.name] = f"the same pixels as {subjects[image.sha256].photo.name}"
            continue
        clean = bare.features(bare.pixels(image.pixel_values))[0]
        nearest = None if labels is None else int(labels.of(clean[None])[0])
        label = nearest if photo.truth is None else photo.truth
        subjects[image.sha256] = Subject(photo, image.sha256, clean, label)
    if len(subjects) < 2:
        why = f" ({next(iter(skipped.values()))})" if skipped else ""
        raise InputError(f"--data holds {len(subjects)} images that can be read{why}: give at least two")
    return tuple(subjects.values()), skipped


def _others(subjects: tuple[Subject, ...]) -> dict[str, Subject]:
    """For each image the next one, in the order of names, whose label differs: what attacks on it aim at."""
    found = {}
    for number, subject in enumerate(subjects):
        following = (*subjects[number + 1 :], *subjects[:number])
        other = next((each for each in following if each.label is None or each.label != subject.label), None)
        if other is None:
            raise InputError("--data holds images of one label alone, so no attack has another to aim at: add others")
        found[subject.sha256] = other
    return found


def _facts(
    encoder: EncoderAdapter,
    settings: EvaluationSettings,
    prototypes: Prototypes | None,
    subjects: tuple[Subject, ...],
    skipped: dict[str, str],
    truth: str,
) -> Facts:
    spec = encoder.spec
    return {
        "model": spec.model,
        "revision": spec.revision,
        "tap": spec.tap,
        "input": [spec.height, spec.width],
        "prototypes": None if prototypes is None else prototypes.name,
        "prototypes_sha256": None if prototypes is None else prototypes.sha256,
        "truth": truth,
        "weak_attacks": settings.weak,
        **asdict(replace(settings, truth=truth)),
        "seed": f"{settings.seed:032x}",
        "images": len(subjects),
        "image_names": [subject.photo.name for subject in subjects],
        "image_sha256": [subject.sha256 for subject in subjects],
        "skipped": skipped,
        "versions": {"fs-export": __version__, "torch": str(torch.__version__)},
    }
