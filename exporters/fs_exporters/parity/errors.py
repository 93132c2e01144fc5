"""What the parity gate raises."""

from fs_runtime.errors import FsError


class ParityError(FsError):
    """The graph does not compute what the original module computes, or not what a certificate needs."""

    exit_code = 3
