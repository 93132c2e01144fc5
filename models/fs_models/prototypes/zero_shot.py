"""Zero-shot prototypes: what a class is called, in sentences, through the text tower."""

from collections.abc import Sequence
from pathlib import Path

from torch.nn import functional

from fs_models.encoders import OfferedPrototypes
from fs_models.prototypes.text_tower import TextTower
from fs_runtime.errors import InputError

PLACE = "{}"
DEFAULT_TEMPLATES = {
    "clip": ("a photo of a {}.",),
    "siglip": ("This is a photo of {}.",),
    "siglip2": ("This is a photo of {}.",),
}
"""What the models' makers recommend, by family."""


def read_labels(path: Path) -> tuple[str, ...]:
    """The labels in a text file, one a line; empty lines are left out.

    Raises:
        InputError: it cannot be read, holds fewer than two labels, or one twice.
    """
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(
            f"--labels {path} cannot be read ({error.strerror}): name a text file, one label a line"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"--labels {path} is not text in UTF-8 ({error}): save it so, one label a line") from error
    labels = tuple(line.strip() for line in lines if line.strip())
    if len(labels) < 2:
        raise InputError(f"--labels {path} holds {len(labels)} labels: give at least two, one a line")
    if repeated := sorted({label for label in labels if labels.count(label) > 1}):
        raise InputError(f"--labels {path} holds {repeated[0]!r} twice: two equal prototypes cannot be told apart")
    return labels


def checked_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """The templates, each with one place for the label.

    Raises:
        InputError: one has none, or several.
    """
    for template in templates:
        if template.count(PLACE) != 1:
            raise InputError(f"--template {template!r} must hold {PLACE} once, where the label goes")
    return tuple(templates)


def zero_shot(tower: TextTower, labels: Sequence[str], templates: Sequence[str] = ()) -> OfferedPrototypes:
    """One prototype a label: the mean of the unit features of its sentences.

    Args:
        tower: the text tower of the image encoder's own checkpoint.
        labels: C names.
        templates: sentences with ``{}`` where the label goes; none: :data:`DEFAULT_TEMPLATES`.

    Returns:
        [C, D] prototypes.

    Raises:
        InputError: a template without a place for the label.
    """
    chosen = checked_templates(templates) or DEFAULT_TEMPLATES[tower.family]
    sentences = [template.replace(PLACE, label) for label in labels for template in chosen]
    features = functional.normalize(tower.encode(sentences).double(), dim=-1)
    return OfferedPrototypes(features.view(len(labels), len(chosen), -1).mean(dim=1), tuple(labels))
