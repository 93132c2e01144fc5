"""Prototypes that a user asks for at export: directions in an encoder's feature space with names.

``zero_shot`` takes them from the matching text tower, ``labelled_images`` from images; deployment needs neither.
"""

from fs_models.prototypes.labelled_images import class_means, gallery
from fs_models.prototypes.request import PrototypeRequest, requested_prototypes
from fs_models.prototypes.text_features import text_features
from fs_models.prototypes.zero_shot import read_labels, zero_shot

__all__ = [
    "PrototypeRequest",
    "class_means",
    "gallery",
    "read_labels",
    "requested_prototypes",
    "text_features",
    "zero_shot",
]
