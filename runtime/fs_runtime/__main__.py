"""``python -m fs_runtime``."""

from fs_runtime.cli.main import main

main()
