"""Draws for feature certificates."""

from fs_runtime.certificates.feature import FeatureCertificate, ImageFacts, Provenance
from fs_runtime.certificates.settings import CertifySettings
from fs_runtime.certification import AnyTimeEstimator, FixedDrawsEstimator, Target
from fs_runtime.certifying.task import Task
from fs_runtime.drawing import Estimator, Pilot
from fs_runtime.drawing.job import Floats


class FeatureTask(Task[CertifySettings, FeatureCertificate]):
    """A feature certificate by given settings."""

    @classmethod
    def again(cls, certificate: FeatureCertificate) -> "FeatureTask":
        """All the draws of a certificate, once more."""
        settings = CertifySettings(
            draws=certificate.draws,
            alpha=certificate.alpha,
            pilot=certificate.pilot,
            bound=certificate.bound,
            reference=certificate.reference_kind,
            until=certificate.until,
        )
        return cls(settings, certificate.sigma, replayed_of=certificate.most_draws)

    def estimator(self, pilot: Pilot, image: ImageFacts) -> Estimator:
        """One of a fixed number of draws, or of a target over images on the grid: there it lies further out."""
        settings = self.settings
        if settings.until is None:
            return FixedDrawsEstimator(
                pilot.cosines,
                pilot.reference,
                pilot_features=pilot.features,
                sigma=self.sigma,
                alpha=settings.alpha,
                bound=settings.bound,
                draws=settings.draws,
            )
        radius = settings.until.radius
        return AnyTimeEstimator(
            pilot.cosines,
            pilot.reference,
            pilot_features=pilot.features,
            sigma=self.sigma,
            alpha=settings.alpha,
            bound=settings.bound,
            target=Target(radius + image.grid_cost if radius > 0.0 else radius, settings.until.cosine),
            draws=self.most_draws,
        )

    def certificate(
        self, estimator: Estimator, reference: Floats, image: ImageFacts, provenance: Provenance
    ) -> FeatureCertificate:
        """The feature certificate."""
        assert isinstance(estimator, FixedDrawsEstimator | AnyTimeEstimator)
        return FeatureCertificate(
            curve=estimator.finish(),
            reference=reference,
            reference_kind=self.settings.reference,
            image=image,
            provenance=provenance,
            until=self.settings.until,
            most_draws=estimator.most_draws,
        )
