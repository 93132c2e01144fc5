"""Writing bundles."""

from fs_exporters.bundle.folder import changed_folder, check_free, check_writable, new_folder, unwritable
from fs_exporters.bundle.prototypes import add_prototypes, planned_prototypes

__all__ = [
    "add_prototypes",
    "changed_folder",
    "check_free",
    "check_writable",
    "new_folder",
    "planned_prototypes",
    "unwritable",
]
