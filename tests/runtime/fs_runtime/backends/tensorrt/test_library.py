"""Which TensorRT is here."""

import re
from types import SimpleNamespace

import pytest

from fs_runtime.backends.tensorrt import library
from fs_runtime.backends.tensorrt.library import BrokenLibraryError, installed_versions, is_supported, open_library
from fs_runtime.errors import BackendError


def _installed(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    monkeypatch.setattr(library, "find_spec", lambda name: None if version is None else name)
    monkeypatch.setattr(library, "import_module", lambda name: SimpleNamespace(__version__=version))


def test_open_library_says_what_to_install_when_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, None)
    assert installed_versions() == {}
    with pytest.raises(BackendError, match=r"tensorrt cannot be used here .it is not installed.*JetPack"):
        open_library("tensorrt")


@pytest.mark.parametrize(
    ("builder", "version"), [("tensorrt", "10.16.0.29"), ("tensorrt", "11.2.0.1"), ("tensorrt-rtx", "1.7.1.116")]
)
def test_open_library_gives_it_when_the_version_is_known(
    monkeypatch: pytest.MonkeyPatch, builder: library.Builder, version: str
) -> None:
    _installed(monkeypatch, version)
    found = open_library(builder)
    assert (found.builder, found.version) == (builder, version)
    assert found.name.startswith("TensorRT")


@pytest.mark.parametrize(
    ("builder", "version", "wants"),
    [
        ("tensorrt", "10.15.1", ">=10.16,<12.0"),
        ("tensorrt", "12.0.0", ">=10.16,<12.0"),
        ("tensorrt-rtx", "1.4.0", ">=1.5,<2.0"),
        ("tensorrt-rtx", "2", ">=1.5,<2.0"),
    ],
)
def test_open_library_names_both_versions_when_it_is_another(
    monkeypatch: pytest.MonkeyPatch, builder: library.Builder, version: str, wants: str
) -> None:
    _installed(monkeypatch, version)
    with pytest.raises(BackendError, match=f"{builder} {version} is installed, this fs-runtime needs {wants}"):
        open_library(builder)


@pytest.mark.parametrize("version", ["11.0rc1", "unknown", "10.x.1", "", "11.", "²¹.5", "-1.5"])
@pytest.mark.parametrize("builder", ["tensorrt", "tensorrt-rtx"])
def test_open_library_says_so_when_the_version_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, builder: library.Builder, version: str
) -> None:
    _installed(monkeypatch, version)
    assert not is_supported(builder, version)
    message = f"{builder} '{re.escape(version)}' .a version that cannot be read. is installed, this fs-runtime needs >="
    with pytest.raises(BackendError, match=message) as caught:
        open_library(builder)
    assert not isinstance(caught.value, BrokenLibraryError)


def test_open_library_says_why_when_the_package_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise OSError("libnvinfer.so.10: cannot open shared object file\nmore")

    _installed(monkeypatch, "")
    monkeypatch.setattr(library, "import_module", broken)
    message = (
        r"is installed but does not load .libnvinfer.so.10: cannot open shared object file.: uninstall it and inst"
    )
    with pytest.raises(BrokenLibraryError, match=message):
        open_library("tensorrt")
