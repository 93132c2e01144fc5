"""Writing files so that they appear whole or not at all."""

import os
from pathlib import Path


def write_together(contents: dict[Path, bytes]) -> None:
    """Write files by temporary siblings that take their places only when all are complete.

    Raises:
        OSError: a file cannot be written; what was there is as it was.
    """
    temporaries = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in contents}
    try:
        for path, content in contents.items():
            with temporaries[path].open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in temporaries.items():
            temporary.replace(path)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
