"""The environment variables FS_THREADS, FS_MAX_PIXELS and FS_CUDA_GRAPH."""

import os
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny

import fs_runtime
from fs_runtime import environment
from fs_runtime.errors import ImageError, InputError

READERS = {"FS_THREADS": environment.default_threads, "FS_MAX_PIXELS": environment.default_max_pixels}


@pytest.mark.parametrize("name", sorted(READERS))
@pytest.mark.parametrize(("text", "value"), [("1", 1), ("7", 7), ("007", 7), ("1000", 1000)])
def test_default_follows_the_variable_when_it_is_a_number(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: int
) -> None:
    monkeypatch.setenv(name, text)
    assert READERS[name]() == value


@pytest.mark.parametrize("name", sorted(READERS))
@pytest.mark.parametrize(
    "text",
    ["", "0", "9" * 5000, "9" * 14, "00", "-1", "+2", "1.5", "1e3", "two", " 2", "2 ", "1_000", "\u00b2", "\u0663"],
)
def test_default_refuses_when_the_variable_is_no_positive_number(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(InputError, match=f"{name}=.* must be a positive whole number") as caught:
        READERS[name]()
    assert caught.value.exit_code == 2


def test_default_threads_are_the_cores_of_the_process_when_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FS_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5})
    assert environment.default_threads() == 3


def test_default_max_pixels_is_64_million_when_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FS_MAX_PIXELS", raising=False)
    assert environment.default_max_pixels() == 64_000_000


def test_load_obeys_the_variables_when_no_argument_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path)
    image = np.zeros((8, 8, 3), np.uint8)
    monkeypatch.setenv("FS_MAX_PIXELS", "63")
    with fs_runtime.load(root) as encoder, pytest.raises(ImageError, match="max_pixels = 63"):
        encoder.smooth(image)
    with fs_runtime.load(root, max_pixels=64) as encoder:
        encoder.smooth(image)
    monkeypatch.setenv("FS_THREADS", "many")
    with pytest.raises(InputError, match="FS_THREADS"):
        fs_runtime.load(root)
    fs_runtime.load(root, threads=1).close()


@pytest.mark.parametrize(("text", "captures"), [("0", False), ("1", True)])
def test_cuda_graphs_follow_the_variable_when_it_is_set(
    monkeypatch: pytest.MonkeyPatch, text: str, captures: bool
) -> None:
    monkeypatch.setenv("FS_CUDA_GRAPH", text)
    assert environment.cuda_graphs(default=not captures) == captures
    monkeypatch.delenv("FS_CUDA_GRAPH")
    assert environment.cuda_graphs(default=captures) == captures


@pytest.mark.parametrize("text", ["", "true", "2", "01", " 1"])
def test_cuda_graphs_refuse_when_the_variable_is_neither_0_nor_1(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FS_CUDA_GRAPH", text)
    with pytest.raises(InputError, match=r"FS_CUDA_GRAPH=.* must be 0 or 1"):
        environment.cuda_graphs(default=True)
