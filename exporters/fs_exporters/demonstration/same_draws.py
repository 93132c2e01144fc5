"""All certificates of a smoothed system from one set of draws: about its own feature, the clean one, and the label."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

import fs_runtime
from fs_runtime.certificates.feature import FeatureCertificate, ImageFacts, Provenance
from fs_runtime.certificates.prediction import PredictionCertificate
from fs_runtime.certificates.prediction_settings import PredictionSettings
from fs_runtime.certificates.settings import CertifySettings
from fs_runtime.certification import check_draws
from fs_runtime.certifying import FeatureTask, PredictionTask, Task
from fs_runtime.drawing import Estimator, Pilot
from fs_runtime.errors import BundleError
from fs_runtime.noise import Seed
from fs_runtime.preprocess import PreparedImage

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
        with ExitStack() as opening:
            self._encoder = opening.enter_context(fs_runtime.load(folder, threads=threads))
            self.manifest = self._encoder.manifest
            if not self.manifest.has_features:
                raise BundleError(
                    f"{folder} gives no features of single draws, which several certificates of the same draws need: "
                    "export another tap, such as pooled"
                )
            self.prototypes = self._encoder.prototypes()
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
        manifest, certifier = self.manifest, self._encoder.certifier
        own = CertifySettings.checked(
            manifest,
            draws=plan.draws,
            alpha=plan.alpha,
            pilot=plan.pilot,
            bound="gram",
            reference="smoothed",
            until=None,
        )
        label = PredictionSettings.checked(
            manifest,
            self.prototypes,
            draws=plan.draws,
            alpha=plan.alpha,
            pilot=plan.pilot,
            kinds=("margin",),
            top_k=1,
            bound="auto",
            reference="smoothed",
            until=None,
        )
        # Of this bundle: another's bare encoder gives the same but for rounding, and a replay would differ by that.
        clean = certifier.clean_feature(image)
        return certifier.one(image, _EveryTask(own, label, clean, manifest.sigma), seed, progress)


class _EveryTask(Task[CertifySettings, Certified]):
    """Three tasks that take the same draws."""

    def __init__(self, own: CertifySettings, label: PredictionSettings, clean: Floats, sigma: float) -> None:
        super().__init__(own, sigma)
        self._own, self._label = FeatureTask(own, sigma), PredictionTask(label, sigma)
        self._clean, self._vector = FeatureTask(replace(own, reference="clean"), sigma), clean

    def estimator(self, pilot: Pilot, image: ImageFacts) -> Estimator:
        """What hands the draws on to the estimators of all three."""
        rows = pilot.features
        assert rows is not None  # the graph gives them
        return _Several(
            self._own.estimator(pilot, image),
            self._clean.estimator(Pilot(self._vector, rows @ self._vector, rows), image),
            self._label.estimator(pilot, image),
            self._vector,
            rows.sum(axis=0),
        )

    def certificate(
        self, estimator: Estimator, reference: Floats, image: ImageFacts, provenance: Provenance
    ) -> Certified:
        """All three, and how well the draws agree."""
        assert isinstance(estimator, _Several)
        return Certified(
            own=self._own.certificate(estimator.own, reference, image, provenance),
            clean=self._clean.certificate(estimator.clean, self._vector, image, provenance),
            label=self._label.certificate(estimator.label, reference, image, provenance),
            length=float(np.linalg.norm(estimator.total)) / (self.settings.pilot + self.settings.draws),
        )


@dataclass(eq=False)
class _Several:
    """Estimators that take the same draws.

    Attributes:
        own: about the system's own feature.
        clean: about the clean feature.
        label: about the label of the own one.
        vector: [D] the clean feature.
        total: [D] sum of all draws' unit features.
    """

    own: Estimator
    clean: Estimator
    label: Estimator
    vector: Floats
    total: Floats
    decided = None

    def update(self, cosines: Floats, features: Floats | None = None) -> None:
        assert features is not None  # the graph gives them
        self.own.update(cosines, features)
        self.clean.update(features @ self.vector, features)
        self.label.update(cosines, features)
        self.total += features.sum(axis=0)
