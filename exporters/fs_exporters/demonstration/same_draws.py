"""All certificates of a smoothed system from one set of draws: about its own feature, the clean one, and the label."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from fs_runtime.backends import open_backend
from fs_runtime.bundle import Bundle, read_bundle
from fs_runtime.bundle.prototypes import Prototypes, only_prototypes, read_prototypes
from fs_runtime.certificates.feature import FeatureCertificate, ImageFacts, Provenance, reference_sha256
from fs_runtime.certificates.prediction import PredictionCertificate
from fs_runtime.certificates.prediction_parts import Binding
from fs_runtime.certificates.settings import whole_batches
from fs_runtime.certification import FixedDrawsEstimator, check_draws
from fs_runtime.certification.prediction import LabelEstimator
from fs_runtime.certifying import BareEncoder, Certifier, image_facts
from fs_runtime.drawing import CertifyJob, DrawLoop, Pilot
from fs_runtime.environment import default_max_pixels
from fs_runtime.errors import BundleError
from fs_runtime.noise import GENERATOR, Seed
from fs_runtime.preprocess import PreparedImage
from fs_runtime.version import __version__

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DrawPlan:
    """How many draws, and how sure.

    Attributes:
        draws: certifying draws, fixed beforehand.
        pilot: pilot draws, rounded up to whole noise batches.
        alpha: probability that a certificate fails; each of them has its own.
    """

    draws: int
    pilot: int
    alpha: float

    def check(self) -> None:
        """Refuse what could certify nothing, before any work.

        Raises:
            CertificationError: draws too few for alpha, or alpha out of range.
        """
        check_draws(self.draws, self.alpha, "gram")


@dataclass(frozen=True, eq=False)
class Certified:
    """What the draws of one photo say; each certificate holds with probability 1 - alpha by itself.

    Attributes:
        own: about the system's own feature, the pilot's mean; what ``fs-runtime certify`` gives for the same seed.
        clean: about the bare encoder's feature; what ``--reference clean`` gives.
        label: within which radius the label of the system's own feature stays (``margin``).
        length: resultant length: of the mean of all draws' unit features, the pilot's too.
    """

    own: FeatureCertificate
    clean: FeatureCertificate
    label: PredictionCertificate
    length: float


class Drawn:
    """A bundle opened for draws that are used for several certificates; a context manager."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        """Open it on the CPU.

        Args:
            folder: of a bundle whose graph gives features, with one set of prototypes.
            threads: for the graph and the noise.

        Raises:
            BundleError: it is damaged, its graph gives no features, or it has no prototypes or several sets.
            BackendError: ONNX Runtime cannot run here.
        """
        self.bundle: Bundle = read_bundle(folder)
        if not self.bundle.manifest.has_features:
            raise BundleError(
                f"{folder} gives no features of single draws, which several certificates of the same draws need: "
                "export another tap, such as pooled"
            )
        self.prototypes: Prototypes = read_prototypes(only_prototypes(self.bundle), self.bundle)
        manifest = self.bundle.manifest
        self._opened = ExitStack()
        with ExitStack() as opening:
            self._graph = self.bundle.graph("smoothed")
            self._backend = opening.enter_context(
                open_backend("auto", self.bundle, self._graph, device="cpu", threads=threads)
            )
            noise = opening.enter_context(closing(self._backend.noise(manifest, threads=threads)))
            self._loop = DrawLoop(self._backend, noise, manifest)
            bare = opening.enter_context(closing(BareEncoder(self.bundle, device="cpu", threads=threads)))
            self._certifier = Certifier(
                self._backend,
                self._loop,
                manifest,
                bare=bare,
                graph_sha256=self._graph.sha256,
                max_pixels=default_max_pixels(),
            )
            self._opened = opening.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def certify(
        self,
        image: PreparedImage,
        *,
        plan: DrawPlan,
        seed: Seed,
        progress: Callable[[int, int], None] | None = None,
    ) -> Certified:
        """Draw once, and certify in all ways; a replay by this bundle finds each certificate equal.

        Args:
            image: as the graph receives it.
            plan: of the draws.
            seed: of their noise: two bundles with one noise batch and one seed see the same noise.
            progress: called with (draws done, draws in all).

        Raises:
            CertificationError: draws too few for alpha, or features that are not finite.
        """
        manifest = self.bundle.manifest
        pilot = whole_batches(plan.pilot, manifest)
        # Of this bundle: another's bare encoder gives the same but for rounding, and a replay would differ by that.
        clean = self._certifier.clean_feature(image)
        job = CertifyJob(
            image,
            seed,
            pilot=pilot,
            draws=plan.draws,
            dimension=manifest.dimension,
            gives_features=manifest.has_features,
            reference=None,
            estimator=lambda found: _Several(found, clean, self.prototypes.vectors, sigma=manifest.sigma, plan=plan),
            sequential=False,
            progress=progress,
        )
        for done in self._loop.run([job]):
            if done.error is not None:
                raise done.error
        several = job.estimator
        assert isinstance(several, _Several)  # the job is done
        provenance = Provenance(self._graph.sha256, self._backend.info, GENERATOR, seed, __version__)
        facts = image_facts(image)
        return Certified(
            own=_feature(several.own, job.reference, "smoothed", facts, provenance),
            clean=_feature(several.clean, clean, "clean", facts, provenance),
            label=self._prediction(several.label, job.reference, pilot, plan, facts, provenance),
            length=float(np.linalg.norm(several.total)) / (pilot + plan.draws),
        )

    def _prediction(
        self,
        estimator: LabelEstimator,
        reference: Floats,
        pilot: int,
        plan: DrawPlan,
        image: ImageFacts,
        provenance: Provenance,
    ) -> PredictionCertificate:
        binding = Binding(
            image=image,
            provenance=provenance,
            sigma=self.bundle.manifest.sigma,
            draws=plan.draws,
            most_draws=plan.draws,
            pilot=pilot,
            reference_kind="smoothed",
            reference_sha256=reference_sha256(reference),
        )
        claims = estimator.finish().claims
        return PredictionCertificate.made(self.prototypes, reference, claims, alpha=plan.alpha, binding=binding)


class _Several:
    """Estimators that take the same draws."""

    decided = None

    def __init__(self, pilot: Pilot, clean: Floats, prototypes: Floats, *, sigma: float, plan: DrawPlan) -> None:
        rows = pilot.features
        assert rows is not None  # the graph gives them
        self._clean = clean
        self.total: Floats = rows.sum(axis=0)

        def angles(reference: Floats) -> FixedDrawsEstimator:
            return FixedDrawsEstimator(
                rows @ reference,
                reference,
                sigma=sigma,
                alpha=plan.alpha,
                bound="gram",
                draws=plan.draws,
                pilot_features=rows,
            )

        self.own, self.clean = angles(pilot.reference), angles(clean)
        self.label = LabelEstimator(
            pilot.cosines,
            pilot.reference,
            prototypes,
            sigma=sigma,
            alpha=plan.alpha,
            draws=plan.draws,
            kinds=("margin",),
            pilot_features=pilot.features,
        )

    def update(self, cosines: Floats, features: Floats | None = None) -> None:
        assert features is not None  # the graph gives them
        self.own.update(cosines, features)
        self.clean.update(features @ self._clean, features)
        self.label.update(cosines, features)
        self.total += features.sum(axis=0)


def _feature(
    estimator: FixedDrawsEstimator,
    reference: Floats,
    kind: Literal["smoothed", "clean"],
    image: ImageFacts,
    provenance: Provenance,
) -> FeatureCertificate:
    return FeatureCertificate(
        curve=estimator.finish(),
        reference=reference,
        reference_kind=kind,
        image=image,
        provenance=provenance,
        until=None,
        most_draws=estimator.most_draws,
    )
