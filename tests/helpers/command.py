"""Running the commands: in this process, which is quick, or in one of their own."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from unittest import mock

import click

from fs_runtime.cli.run import run

_LOOKS = ("FORCE_COLOR", "NO_COLOR", "COLUMNS")
_CLEAN = (*_LOOKS, "FS_THREADS", "FS_MAX_PIXELS", "FS_CUDA_GRAPH", "TTY_COMPATIBLE")


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str


def invoke(command: click.Command, *arguments: object, **environment: str) -> Outcome:
    """Run a command through :func:`run`, as its entry point does; a bug's exception comes out as it is.

    What is in the environment of the looks of its output is left out, but for what ``environment`` says.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    handler = signal.getsignal(signal.SIGTERM)
    code: object = None
    with (
        mock.patch.object(sys, "argv", ["command", *map(str, arguments)]),
        mock.patch.dict(os.environ),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        for name in _LOOKS:
            os.environ.pop(name, None)
        os.environ.update(environment)
        try:
            run(command, "command")
        except SystemExit as stop:
            code = stop.code
        finally:
            signal.signal(signal.SIGTERM, handler)
    return Outcome(0 if code is None else int(str(code)), *(_text(stream) for stream in (out, err)))


def spawn(module: str, *arguments: object, **environment: str) -> "subprocess.Popen[bytes]":
    """Start ``python -m module``; the caller waits for it."""
    clean = {name: value for name, value in os.environ.items() if name not in _CLEAN}
    return subprocess.Popen(
        [sys.executable, "-m", module, *(os.fsencode(str(argument)) for argument in arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**clean, **environment},
    )


def execute(module: str, *arguments: object, stdin: str = "", **environment: str) -> Outcome:
    """Run ``python -m module`` to its end, with ``stdin`` to read."""
    process = spawn(module, *arguments, **environment)
    out, err = process.communicate(stdin.encode(), timeout=120)
    return Outcome(process.returncode, out.decode(), err.decode())


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()
