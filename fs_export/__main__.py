"""``python -m fs_export``."""

from fs_export.main import main

main()
