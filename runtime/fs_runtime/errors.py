"""The errors a user can cause or mend; each carries the exit code of the commands.

A message is one sentence that names the file, flag or argument and says what to do. The commands print it
without a stack trace. Any other exception is a bug and keeps its trace.
"""


class FsError(Exception):
    """Base of every error that its message alone explains.

    Attributes:
        argument: the Python argument that the message names, if it names one: the commands put their flag there.
    """

    exit_code = 1

    def __init__(self, message: str, *, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


class InputError(FsError):
    """An argument, image or file the user gave cannot be used."""

    exit_code = 2


class BundleError(InputError):
    """A bundle is missing, damaged, unsafe, or not what its manifest says."""


class ImageError(InputError):
    """An image cannot be read or does not hold pixels in [0, 1]."""


class BackendError(FsError):
    """A backend, provider or engine that was asked for cannot run here."""

    exit_code = 4
