"""Certificates of one set of draws: each is the one that the runtime gives for the same seed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny, tiny_gsb, tiny_torch

import fs_runtime
from fs_exporters.demonstration import Certified, Drawn, DrawPlan
from fs_exporters.pipeline import export_bundle
from fs_runtime.certification import CertificationError, smallest_draws
from fs_runtime.errors import BundleError
from fs_runtime.noise import Seed
from fs_runtime.preprocess import prepare

IMAGE = tiny.image_array()
PLAN = DrawPlan(draws=96, pilot=30, alpha=0.01)
SEED = Seed.make(5)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    folder = tmp_path_factory.mktemp("bundles")
    gsb = tiny_gsb.write(folder / "gsb")
    names = tuple(f"corner {number}" for number in range(6))
    with tiny_torch.registered(), tiny_torch.offering(torch.eye(6), names):
        for name, booster in {"plain": "none", "boosted": str(gsb)}.items():
            export_bundle(
                tiny_torch.MODEL,
                sigma=0.25,
                noise_batch=8,
                output=folder / name,
                threads=1,
                parity_draws=4,
                gsb=booster,
            )
        yield {name: folder / name for name in ("plain", "boosted")}


@pytest.fixture(scope="module")
def certified(bundles: dict[str, Path]) -> dict[str, Certified]:
    image = prepare(IMAGE, tiny_torch.tiny_adapter().spec.preprocess)
    with Drawn(bundles["boosted"], threads=1) as boosted, Drawn(bundles["plain"], threads=1) as plain:
        both = {"plain": plain, "boosted": boosted}
        return {name: drawn.certify(image, plan=PLAN, seed=SEED) for name, drawn in both.items()}


@pytest.mark.parametrize("name", ["plain", "boosted"])
def test_certify_gives_the_runtimes_certificates_when_the_seed_is_the_same(
    name: str, bundles: dict[str, Path], certified: dict[str, Certified]
) -> None:
    found = certified[name]
    arguments = {"draws": PLAN.draws, "pilot": PLAN.pilot, "alpha": PLAN.alpha, "seed": SEED.value}
    with fs_runtime.load(bundles[name], threads=1) as encoder:
        assert found.own.to_json() == encoder.certify(IMAGE, **arguments).to_json()
        assert found.clean.to_json() == encoder.certify(IMAGE, reference="clean", **arguments).to_json()
        assert found.label.to_json() == encoder.classify(IMAGE, kinds=("margin",), **arguments).to_json()


@pytest.mark.parametrize("name", ["plain", "boosted"])
def test_certify_gives_certificates_that_replay_when_the_bundle_is_opened_again(
    name: str, bundles: dict[str, Path], certified: dict[str, Certified]
) -> None:
    found = certified[name]
    with fs_runtime.load(bundles[name], threads=1) as encoder:
        assert [encoder.replay(each, IMAGE).equal for each in (found.own, found.clean, found.label)] == [True] * 3


def test_certify_sees_the_same_noise_when_the_systems_differ(certified: dict[str, Certified]) -> None:
    plain, boosted = certified["plain"], certified["boosted"]
    assert plain.own.seed == boosted.own.seed == SEED.value
    assert plain.own.provenance.graph_sha256 != boosted.own.provenance.graph_sha256
    # The plain bundle's own graph runs without noise for its clean feature, with another rounding.
    assert np.allclose(plain.clean.reference, boosted.clean.reference, atol=1e-5)
    assert not np.allclose(plain.own.reference, boosted.own.reference, atol=1e-3)
    assert 0.0 < plain.length <= 1.0


def test_certify_refuses_when_the_draws_are_too_few(bundles: dict[str, Path]) -> None:
    image = prepare(IMAGE, tiny_torch.tiny_adapter().spec.preprocess)
    with Drawn(bundles["boosted"], threads=1) as drawn, pytest.raises(CertificationError, match="draws"):
        drawn.certify(image, plan=DrawPlan(2, 8, 1e-3), seed=SEED)


def test_check_refuses_exactly_the_draws_with_which_certifying_fails(bundles: dict[str, Path]) -> None:
    least = smallest_draws(PLAN.alpha, "gram")
    image = prepare(IMAGE, tiny_torch.tiny_adapter().spec.preprocess)
    with Drawn(bundles["plain"], threads=1) as drawn:
        enough, few = (DrawPlan(draws, 8, PLAN.alpha) for draws in (least, least - 1))
        enough.check()
        drawn.certify(image, plan=enough, seed=SEED)
        with pytest.raises(CertificationError, match="draws"):
            few.check()
        with pytest.raises(CertificationError, match="draws"):
            drawn.certify(image, plan=few, seed=SEED)


def test_drawn_refuses_when_the_bundle_gives_no_features(tmp_path: Path) -> None:
    bundle = tiny.write_bundle(tmp_path / "tokens", tap="tokens")
    with pytest.raises(BundleError, match="tokens gives no features of single draws"):
        Drawn(bundle, threads=1)
