"""Prototypes that a user asks for at export: directions in an encoder's feature space with names.

``zero_shot`` takes them from the matching text tower, ``labelled_images`` from images; deployment needs neither.
"""

from fs_models.prototypes.labelled_images import class_means, gallery
from fs_models.prototypes.request import PrototypeRequest, requested_prototypes
from fs_models.prototypes.text_tower import TextTower, load_text_tower
from fs_models.prototypes.zero_shot import DEFAULT_TEMPLATES, read_labels, zero_shot

__all__ = [
    "DEFAULT_TEMPLATES",
    "PrototypeRequest",
    "TextTower",
    "class_means",
    "gallery",
    "load_text_tower",
    "read_labels",
    "requested_prototypes",
    "zero_shot",
]
