"""Writing bundles."""

from fs_exporters.bundle.folder import check_free, check_writable, new_folder, unwritable
from fs_exporters.bundle.prototypes import add_prototypes, planned_prototypes

__all__ = ["add_prototypes", "check_free", "check_writable", "new_folder", "planned_prototypes", "unwritable"]
