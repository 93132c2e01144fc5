"""Draws for prediction certificates."""

from fs_runtime.bundle.prototypes import Prototypes
from fs_runtime.certificates.feature import FeatureCertificate, ImageFacts, Provenance, reference_sha256
from fs_runtime.certificates.prediction import PredictionCertificate
from fs_runtime.certificates.prediction_parts import Binding
from fs_runtime.certificates.prediction_settings import PredictionSettings
from fs_runtime.certification.prediction import LabelEstimator
from fs_runtime.certifying.task import Task
from fs_runtime.drawing import Estimator, Pilot
from fs_runtime.drawing.job import Floats


class PredictionTask(Task[PredictionSettings, PredictionCertificate]):
    """A prediction certificate by given settings."""

    @classmethod
    def again(cls, certificate: PredictionCertificate, prototypes: Prototypes) -> "PredictionTask":
        """All the draws of a certificate, once more, about the prototypes that it was made with."""
        binding, feature = certificate.binding, certificate.feature
        settings = PredictionSettings(
            prototypes=prototypes,
            draws=binding.draws,
            alpha=certificate.alpha,
            pilot=binding.pilot,
            kinds=certificate.kinds,
            top_k=len(certificate.labels),
            bound=None if feature is None else feature.bound,
            reference=binding.reference_kind,
            until=certificate.until,
        )
        return cls(settings, binding.sigma, replayed_of=binding.most_draws)

    def estimator(self, pilot: Pilot, image: ImageFacts) -> Estimator:
        """One of all the kinds that are asked for."""
        settings = self.settings
        return LabelEstimator(
            pilot.cosines,
            pilot.reference,
            settings.prototypes.vectors,
            sigma=self.sigma,
            alpha=settings.alpha,
            draws=self.most_draws,
            kinds=settings.kinds,
            top_k=settings.top_k,
            bound=settings.bound,
            pilot_features=pilot.features,
            target=settings.until,
            grid_cost=image.grid_cost,
        )

    def certificate(
        self, estimator: Estimator, reference: Floats, image: ImageFacts, provenance: Provenance
    ) -> PredictionCertificate:
        """The prediction certificate, with the feature certificate that its cone follows from."""
        settings = self.settings
        assert isinstance(estimator, LabelEstimator)
        evidence = estimator.finish()
        feature: FeatureCertificate | None = None
        if evidence.curve is not None:
            feature = FeatureCertificate(
                curve=evidence.curve,
                reference=reference,
                reference_kind=self.settings.reference,
                image=image,
                provenance=provenance,
                until=evidence.cone_target,
                most_draws=estimator.most_draws,
            )
        binding = Binding(
            image=image,
            provenance=provenance,
            sigma=self.sigma,
            draws=estimator.draws,
            most_draws=estimator.most_draws,
            pilot=self.settings.pilot,
            reference_kind=self.settings.reference,
            reference_sha256=reference_sha256(reference),
        )
        return PredictionCertificate.made(
            settings.prototypes,
            reference,
            evidence.claims,
            alpha=settings.alpha,
            binding=binding,
            feature=feature,
            top_k=settings.top_k,
            until=settings.until,
        )
