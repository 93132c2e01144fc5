"""Draws made again: equal where nothing was touched, and the field where something was."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import fake_tensorrt, tiny
from helpers.usual_gram_law import usual_gram_law

import fs_runtime
from fs_runtime import FeatureCertificate, Target
from fs_runtime.certificates.replay import _unlike
from fs_runtime.certification import TailBounds
from fs_runtime.errors import InputError

IMAGE = tiny.image_array()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[fs_runtime.SmoothedEncoder]:
    with fs_runtime.load(tiny.write_bundle(tmp_path_factory.mktemp("bundle")), threads=1) as made:
        yield made


def edited(certificate: FeatureCertificate, edit: Callable[[dict[str, Any]], object]) -> FeatureCertificate:
    content = json.loads(certificate.to_json())
    edit(content)
    return FeatureCertificate.from_json(json.dumps(content))


@pytest.mark.parametrize("bound", ["gram", "angle-law", "cone", "fcsb"])
@pytest.mark.parametrize("until", [None, Target(0.05, 0.5), Target(0.3, 0.95)])
@pytest.mark.parametrize("reference", ["smoothed", "clean"])
def test_replay_is_equal_when_nothing_was_touched(
    encoder: fs_runtime.SmoothedEncoder, bound: Any, until: Target | None, reference: Any
) -> None:
    certificate = encoder.certify(IMAGE, draws=1500, alpha=0.05, bound=bound, until=until, reference=reference)
    again = encoder.replay(FeatureCertificate.from_json(certificate.to_json()), IMAGE)
    assert again.differences == ()
    assert again.equal
    assert again.same_backend
    assert again.certificate.draws == certificate.draws


def test_replay_names_the_field_when_a_count_was_edited(encoder: fs_runtime.SmoothedEncoder) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["evidence"]["tails"]["counts"][0] -= 1
        content["certified"] = []

    forged = edited(encoder.certify(IMAGE, draws=300, alpha=0.05), edit)
    again = encoder.replay(forged, IMAGE)
    assert not again.equal
    assert [each.field for each in again.differences] == ["evidence.tails.counts[0]"]


def test_replay_names_the_field_when_a_moment_was_edited(encoder: fs_runtime.SmoothedEncoder) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["evidence"]["mean_norm"] *= 0.999
        content["certified"] = []

    forged = edited(encoder.certify(IMAGE, draws=300, alpha=0.05), edit)
    assert [each.field for each in encoder.replay(forged, IMAGE).differences] == ["evidence.mean_norm"]


def test_replay_names_fields_of_the_json_when_every_number_is_another(encoder: fs_runtime.SmoothedEncoder) -> None:
    certificate = encoder.certify(IMAGE, draws=300, alpha=0.05, until=Target(0.05, 0.5))
    content = json.loads(certificate.to_json())
    again = encoder.replay(edited(certificate, lambda content: content.update(seed="0" * 32)), IMAGE)
    assert len(again.differences) > 3
    for difference in again.differences:
        place = content
        for part in difference.field.replace("[", ".").replace("]", "").split("."):
            place = place[int(part)] if part.isdigit() else place[part]


def test_replay_finds_it_out_when_the_seed_was_edited(encoder: fs_runtime.SmoothedEncoder) -> None:
    forged = edited(encoder.certify(IMAGE, draws=300, alpha=0.05), lambda content: content.update(seed="0" * 32))
    assert "reference" in {each.field for each in encoder.replay(forged, IMAGE).differences}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"graph_sha256": "0" * 64}, "is about graph 0000"),
        ({"generator": "mt19937"}, "is about generator mt19937"),
        ({"sigma": 0.125, "certified": []}, "is about sigma 0.125"),
    ],
)
def test_replay_refuses_when_the_draws_cannot_be_made_again(
    encoder: fs_runtime.SmoothedEncoder, change: dict[str, Any], message: str
) -> None:
    other = edited(encoder.certify(IMAGE, draws=300, alpha=0.05), lambda content: content.update(change))
    with pytest.raises(InputError, match=message):
        encoder.replay(other, IMAGE)


def test_replay_refuses_when_the_image_is_another(encoder: fs_runtime.SmoothedEncoder) -> None:
    with pytest.raises(InputError, match="other pixels"):
        encoder.replay(encoder.certify(IMAGE, draws=300, alpha=0.05), tiny.image_array(seed=3))


def test_replay_makes_all_draws_when_the_target_would_be_proved_earlier(encoder: fs_runtime.SmoothedEncoder) -> None:
    until = Target(0.05, 0.6)
    certificate = encoder.certify(IMAGE, draws=1500, alpha=0.05, until=until)
    # A backend that rounds otherwise may have decided later.
    later = edited(certificate, _more)
    again = encoder.replay(later, IMAGE)
    assert again.certificate.draws == certificate.draws + 40


def _more(content: dict[str, Any]) -> None:
    content["draws"] += 40
    content["evidence"]["tails"]["draws"] += 40
    content["certified"] = []


def test_replay_finds_a_fourth_moment_out_that_is_too_small_when_moments_are_small() -> None:
    # As large as real encoders': far below the tolerance for numbers of order one.
    for relative, eigenvalue, fourth in ((2e-3, 0.003, 4.5e-5), (2e-3, 0.015, 1.1e-3), (1e-9, 1e-5, 5e-10)):
        law = usual_gram_law(TailBounds((0.3, 0.4), (5, 0), 500, 0.005), 1, eigenvalue, 0.01, 0.01)
        honest = replace(law, fourth_moment=fourth)
        for forged in (0.0, eigenvalue**2):
            stated = replace(law, fourth_moment=forged)
            assert [name for name, *_ in _unlike("evidence", stated, honest, relative, 2)] == ["evidence.fourth_moment"]
        close = replace(law, fourth_moment=fourth * (1.0 + 0.1 * relative))
        assert not list(_unlike("evidence", close, honest, relative, 2))


def test_replay_allows_rounding_when_the_backend_is_another(encoder: fs_runtime.SmoothedEncoder) -> None:
    def elsewhere(content: dict[str, Any]) -> None:
        content["backend"]["device"] = "cuda:0"
        content["evidence"]["mean_norm"] += 1e-5
        content["evidence"]["tails"]["counts"][0] -= 1
        content["certified"] = []

    other = edited(encoder.certify(IMAGE, draws=300, alpha=0.05), elsewhere)
    again = encoder.replay(other, IMAGE)
    assert not again.same_backend
    assert again.equal

    def far(content: dict[str, Any]) -> None:
        elsewhere(content)
        content["evidence"]["tails"]["counts"][0] -= 20

    assert not encoder.replay(edited(other, far), IMAGE).equal


def test_replay_compares_a_plan_with_its_graph_when_the_bundle_lists_it(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path)
    plan = fake_tensorrt.add_plan(root, b"a plan")
    with fs_runtime.load(root, threads=1) as encoder:
        certificate = encoder.certify(IMAGE, draws=300, alpha=0.05)
        of_plan = edited(certificate, lambda content: content.update(graph_sha256=plan))
        again = encoder.replay(of_plan, IMAGE)
        # The backend's name was not edited, and still it is the plan's certificate.
        assert again.equal
        assert not again.same_backend
        other = edited(certificate, lambda content: content.update(graph_sha256="1" * 64))
        with pytest.raises(InputError, match="one of a plan can be compared on that plan, or on the graph"):
            encoder.replay(other, IMAGE)


def test_replay_is_equal_when_the_draws_were_mixed_with_other_images(tmp_path: Path) -> None:
    with fs_runtime.load(tiny.write_bundle(tmp_path, images=2), threads=1) as encoder:
        images = [tiny.image_array(seed=seed) for seed in range(3)]
        for result in list(encoder.certify_many(images, draws=100, alpha=0.05)):
            assert result.certificate is not None
            assert encoder.replay(result.certificate, result.image).differences == ()
