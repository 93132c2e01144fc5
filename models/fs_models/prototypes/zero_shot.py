"""Zero-shot prototypes: what a class is called, in sentences, through the text tower."""

import math
from collections.abc import Sequence
from pathlib import Path

from torch.nn import functional

from fs_models.encoders import EncoderAdapter, OfferedPrototypes
from fs_models.prototypes.text_features import text_features
from fs_runtime.errors import InputError
from fs_runtime.plural import count

PLACE = "{}"


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
        raise InputError(f"--labels {path} holds {count(len(labels), 'label')}: give at least two, one a line")
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


def check_shared(model: str, family: str, tap: str, *, has_texts: bool) -> None:
    """Refuse labels where no text shares the feature's space.

    Raises:
        InputError: the model has no text tower, or the tap is not the one that is trained with it.
    """
    if not has_texts:
        raise InputError(
            f"{model} ({family}) was trained without texts, so --labels cannot be turned into prototypes: "
            "name a CLIP or SigLIP checkpoint, or give --prototypes-from a folder of labelled images"
        )
    if tap != "pooled":
        raise InputError(f"--labels needs the pooled tap, whose space the texts share, not {tap!r}: leave one out")


def zero_shot(encoder: EncoderAdapter, labels: Sequence[str], templates: Sequence[str] = ()) -> OfferedPrototypes:
    """One prototype a label: the mean of the unit features of its sentences, by the encoder's own text tower.

    Args:
        encoder: with the pooled tap, whose space the texts share.
        labels: C names.
        templates: sentences with ``{}`` where the label goes; none: the one that the tower's makers recommend.

    Returns:
        [C, D] prototypes.

    Raises:
        InputError: a template without a place for the label, or an encoder whose features no text shares.
    """
    spec, tower = encoder.spec, encoder.text_tower()
    check_shared(spec.model, spec.family, spec.tap, has_texts=tower is not None)
    assert tower is not None
    chosen = checked_templates(templates) or (tower.template,)
    sentences = [template.replace(PLACE, label) for label in labels for template in chosen]
    features = functional.normalize(text_features(tower, sentences).double(), dim=-1)
    dimension = math.prod(spec.feature_shape)
    if features.shape[1] != dimension:
        raise InputError(
            f"the text tower of {spec.model} has {features.shape[1]} dimensions and its image feature {dimension}: "
            "--labels needs a checkpoint whose towers share a space"
        )
    return OfferedPrototypes(features.view(len(labels), len(chosen), -1).mean(dim=1), tuple(labels))
