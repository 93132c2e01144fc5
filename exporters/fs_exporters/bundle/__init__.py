"""Writing bundles."""

from fs_exporters.bundle.folder import check_free, new_folder

__all__ = ["check_free", "new_folder"]
