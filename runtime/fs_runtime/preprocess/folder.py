"""The images in a folder."""

from pathlib import Path

from PIL import Image


def image_files(folder: Path) -> list[Path]:
    """Every file below ``folder`` that is named as an image is, sorted; what is hidden is left out."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and _is_image(path.relative_to(folder)))


def _is_image(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.suffix.lower() in Image.registered_extensions()
