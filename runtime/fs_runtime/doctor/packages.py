"""Python and the packages: are they there, new enough, and do they import?"""

import importlib
import platform
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from fs_runtime.doctor.check import Check, judged

_LEAST_PYTHON = (3, 10)


@dataclass(frozen=True)
class Package:
    """One that is needed.

    Attributes:
        name: as pip knows it.
        module: as Python imports it.
        least: its least version.
    """

    name: str
    module: str
    least: str


RUNTIME_PACKAGES = (
    Package("numpy", "numpy", "1.24"),
    Package("Pillow", "PIL", "10.1"),
    Package("click", "click", "8.1"),
    Package("rich", "rich", "13"),
    Package("msgspec", "msgspec", "0.19"),
    Package("safetensors", "safetensors", "0.4.3"),
)
"""As in the runtime's pyproject.toml."""


def check_python(least: tuple[int, int] = _LEAST_PYTHON) -> Check:
    """Python itself."""
    wanted = ".".join(map(str, least))
    return judged(
        "python",
        sys.version_info[:2] >= least,
        needed=True,
        expected=f">= {wanted}",
        actual=f"{platform.python_version()}, {platform.system()} {platform.machine()}",
        remedy=f"install Python {wanted} or newer",
    )


def check_packages(packages: Iterable[Package]) -> list[Check]:
    """Every package, imported."""
    return [_check(package) for package in packages]


def _check(package: Package) -> Check:
    remedy = f"pip install '{package.name}>={package.least}'"
    try:
        found = version(package.name)
    except PackageNotFoundError:
        return Check(package.name, "failed", f">= {package.least}", "not installed", remedy)
    try:
        importlib.import_module(package.module)
    except Exception as error:  # a broken package can raise anything
        fault = f"{found}, but importing it fails: {first_line(error)}"
        again = f"pip install --force-reinstall '{package.name}>={package.least}'"
        return Check(package.name, "failed", f">= {package.least}", fault, again)
    new_enough = _numbers(found) >= _numbers(package.least)
    return judged(package.name, new_enough, needed=True, expected=f">= {package.least}", actual=found, remedy=remedy)


def first_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _numbers(text: str) -> tuple[int, ...]:
    """The release numbers a version begins with."""
    return tuple(int(part) for part in re.match(r"[0-9.]*", text)[0].strip(".").split(".") if part)  # type: ignore[index]
