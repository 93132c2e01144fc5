"""Which prototypes a bundle is to have: those that come with the weights, and those a user asks for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fs_models.encoders import EncoderAdapter, LoadRequest, OfferedPrototypes, find_family
from fs_models.prototypes.labelled_images import MadeOfImages, class_images, class_means, gallery, gallery_images
from fs_models.prototypes.zero_shot import check_shared, checked_templates, read_labels, zero_shot
from fs_runtime.bundle.prototypes import check_name
from fs_runtime.errors import InputError

_MOST_DRAWS = 1024


@dataclass(frozen=True)
class PrototypeRequest:
    """What to make prototypes of; each set is named after its file or folder.

    Attributes:
        labels: text file, one label a line, for the matching text tower.
        templates: sentences with ``{}`` where the label goes; none: the family's usual one.
        classes: folder with a folder of images for each class.
        gallery: folder of images, each of which becomes a prototype.
        draws: noisy copies that stand for each image of ``classes``; 0: the image itself.
        offered: also take those that come with the weights.
    """

    labels: Path | None = None
    templates: tuple[str, ...] = ()
    classes: Path | None = None
    gallery: Path | None = None
    draws: int = 0
    offered: bool = True

    def check(self) -> None:
        """Refuse what cannot be meant, before any work.

        Raises:
            InputError: naming the flag, or a file or folder that cannot be read or holds too little.
        """
        if self.templates and self.labels is None:
            raise InputError("--template is for the labels of --labels FILE: give that too")
        if self.draws and self.classes is None:
            raise InputError("--prototype-draws is for the images of --prototypes-from DIR: give that too")
        if not 0 <= self.draws <= _MOST_DRAWS:
            raise InputError(f"--prototype-draws must lie in 0..{_MOST_DRAWS}, not {self.draws}")
        checked_templates(self.templates)
        if self.labels is not None:
            read_labels(self.labels)
        names = self.names
        if twice := {name for name in names if names.count(name) > 1}:
            raise InputError(f"two sets of prototypes would be named {twice.pop()!r}: rename a file or folder")
        for name in names:
            check_name(name)
        if self.classes is not None:
            class_images(self.classes)
        if self.gallery is not None:
            gallery_images(self.gallery)

    def check_model(self, model: LoadRequest) -> None:
        """Refuse labels for a model whose features no text shares, before its weights are loaded.

        Raises:
            InputError: naming the flag; or there is no such model.
        """
        if self.labels is not None:
            family = find_family(model)
            has_texts = family.text_tower is not EncoderAdapter.text_tower
            check_shared(model.model, family.family, model.tap or family.taps[0], has_texts=has_texts)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sets that are asked for: a file's without its ending, a folder's own."""
        labels = () if self.labels is None else (self.labels.stem,)
        return (*labels, *(folder.resolve().name for folder in (self.classes, self.gallery) if folder is not None))


@dataclass(frozen=True)
class RequestedPrototypes:
    """What came of a request.

    Attributes:
        sets: prototypes by name.
        summary: what each was made of, for people.
        skipped: images that could not be read, a sentence each.
    """

    sets: dict[str, OfferedPrototypes]
    summary: tuple[str, ...]
    skipped: tuple[str, ...]


def requested_prototypes(
    request: PrototypeRequest,
    encoder: EncoderAdapter,
    *,
    sigma: float,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> RequestedPrototypes:
    """Make the prototypes of a bundle.

    Args:
        request: which.
        encoder: the bare encoder whose features they are for.
        sigma: of the noisy copies, if any.
        on_progress: called with (name of the set, images done, images in all).

    Raises:
        InputError: the sources cannot be read or do not fit the encoder; the message names the flag.
    """
    request.check()
    sets = encoder.prototypes() if request.offered else {}
    summary = [f"{name}: {len(each.labels)} labels of the weights" for name, each in sets.items()]
    skipped: list[str] = []
    if twice := sets.keys() & set(request.names):
        raise InputError(
            f"the weights come with prototypes named {twice.pop()!r} too: rename the file or folder, or give "
            "--no-prototypes"
        )

    def add_images(name: str, made: MadeOfImages, what: str) -> None:
        sets[name] = made.prototypes
        skipped.extend(made.skipped)
        summary.append(f"{name}: {len(made.prototypes.labels)} {what} from {made.images} images")

    if request.labels is not None:
        labels = read_labels(request.labels)
        sets[request.labels.stem] = zero_shot(encoder, labels, request.templates)
        summary.append(f"{request.labels.stem}: {len(labels)} labels in text")
    if request.classes is not None:
        name = request.classes.resolve().name
        watch = _watching(on_progress, name)
        add_images(
            name, class_means(encoder, request.classes, sigma=sigma, draws=request.draws, progress=watch), "classes"
        )
    if request.gallery is not None:
        name = request.gallery.resolve().name
        add_images(name, gallery(encoder, request.gallery, progress=_watching(on_progress, name)), "items")
    return RequestedPrototypes(sets, tuple(summary), tuple(skipped))


def _watching(on_progress: Callable[[str, int, int], None], name: str) -> Callable[[int, int], None]:
    return lambda done, total: on_progress(name, done, total)
