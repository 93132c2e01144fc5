"""What is asked of an image's draws."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from fs_runtime.certificates.feature import ImageFacts, Provenance
from fs_runtime.certificates.prediction_settings import PredictionSettings
from fs_runtime.certificates.settings import CertifySettings
from fs_runtime.drawing import Estimator, Pilot
from fs_runtime.drawing.job import Floats

Settings = TypeVar("Settings", bound=CertifySettings | PredictionSettings)
Certificate = TypeVar("Certificate")


class Task(ABC, Generic[Settings, Certificate]):
    """Draws to make of any image, and the certificate that follows from them.

    Attributes:
        settings: of the certificate.
        sigma: of the noise.
        most_draws: the draws that thresholds are planned for: more than the settings' only where draws that stopped are
            made again.
        sequential: whether to stop as soon as the estimator has decided.
    """

    def __init__(self, settings: Settings, sigma: float, *, replayed_of: int | None = None) -> None:
        """Take the settings.

        Args:
            settings: of the certificate.
            sigma: of the noise.
            replayed_of: the most draws of a certificate that is made again, whose draws are all made.
        """
        self.settings = settings
        self.sigma = sigma
        self.most_draws = replayed_of or settings.draws
        self.sequential = settings.until is not None and replayed_of is None

    @abstractmethod
    def estimator(self, pilot: Pilot, image: ImageFacts) -> Estimator:
        """What takes the certifying draws, made from the pilot's."""

    @abstractmethod
    def certificate(
        self, estimator: Estimator, reference: Floats, image: ImageFacts, provenance: Provenance
    ) -> Certificate:
        """What follows when all draws are made.

        Args:
            estimator: from :meth:`estimator`; it has taken the draws.
            reference: [D] the unit vector that they were compared with.
            image: that they are of.
            provenance: of the certificate.
        """
