"""Running a command: what becomes of errors, signals and a closed pipe. ``fs-export`` runs through here too."""

import errno
import io
import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from fs_runtime.certification import CertificationError
from fs_runtime.cli.terminal import messages, printable
from fs_runtime.errors import FsError

USAGE = 2
ABSTAINED = 5
_INTERRUPTED = 130
_DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG)
_TERMINATED = 143


def run(command: click.Command, name: str) -> NoReturn:
    """Run ``command`` on the process's arguments and exit.

    A user's error is one sentence on stderr, with the exit code of its class; any other exception keeps its trace.
    """
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Where the encoding lacks a character, an escape is better than a crash.
            stream.reconfigure(errors="backslashreplace")
    # Pillow warns of odd metadata in files whose pixels it reads all the same.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    try:
        code = command.main(prog_name=name, standalone_mode=False)
    except click.UsageError as error:
        error.show()
        code = USAGE
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = _INTERRUPTED
    except (FsError, CertificationError) as error:
        tell(error)
        code = exit_code(error)
    except BrokenPipeError:
        # Whoever read stdout went away. Python would complain once more at exit, when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        if error.errno not in _DISK_TROUBLE:
            raise
        tell(FsError(f"cannot write the output: {error.strerror}; free space or write elsewhere"))
        code = FsError.exit_code
    sys.exit(code)


def in_flags(error: Exception) -> str:
    """A user's error in the words of the command line: its flag where the message names an argument."""
    argument = getattr(error, "argument", None)
    if argument is None:
        return str(error)
    # A file may have the name of an argument.
    return re.sub(rf"(?<![\w./-]){argument}(?![\w./-])", f"--{argument.replace('_', '-')}", str(error))


def tell(error: Exception) -> None:
    """Print a user's error to stderr."""
    messages().print(f"error: {printable(in_flags(error))}", style="red", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says of an output file into a user's error."""
    try:
        yield
    except OSError as error:
        raise FsError(f"cannot write {path}: {error.strerror or error}; free space or choose another place") from error


def exit_code(error: Exception) -> int:
    """The exit code of a user's error."""
    return error.exit_code if isinstance(error, FsError) else USAGE


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    # An exception, so that files half-written are removed on the way out.
    sys.exit(_TERMINATED)
