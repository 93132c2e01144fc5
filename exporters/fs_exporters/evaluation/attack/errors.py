"""What makes an attack's outcome mean nothing."""

from fs_runtime.errors import FsError


class NoGradientError(FsError):
    """No usable gradient reaches the pixels, so that a white-box attack would only seem to fail."""
