"""What the tests of backends on a GPU share: a fake GPU, and bundles for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny
from helpers.fake_cuda import FakeCuda, install

from fs_runtime.backends.cuda.backend import CudaBackend


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeCuda]:
    """Puts a fake with these options in the place of the driver, and gives it."""

    def make(**options: Any) -> FakeCuda:
        fake = FakeCuda(**options)
        install(monkeypatch, fake)
        close = CudaBackend.close

        def closing(backend: CudaBackend) -> None:
            shut = backend._shut

            def idle() -> None:
                assert not fake.busy, "what a block still runs on is let go of"
                shut()

            monkeypatch.setattr(backend, "_shut", idle, raising=False)
            close(backend)

        monkeypatch.setattr(CudaBackend, "close", closing)
        return fake

    return make


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles named by their tap and how many images they mix: ``pooled1``, ``pooled3``, ``tokens1``, ``tokens3``."""
    made = tmp_path_factory.mktemp("bundles")
    for tap in ("pooled", "tokens"):
        for images in (1, 3):
            tiny.write_bundle(made / f"{tap}{images}", tap=tap, images=images)  # type: ignore[arg-type]
    return made
