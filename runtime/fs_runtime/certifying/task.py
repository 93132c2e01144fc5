"""What is asked of an image's draws."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from fs_runtime.certificates.feature import ImageFacts, Provenance
from fs_runtime.certificates.settings import ReferenceKind
from fs_runtime.drawing import CertifyJob, Estimator, Pilot

Certificate = TypeVar("Certificate")


class Task(ABC, Generic[Certificate]):
    """Draws to make of any image, and the certificate that follows from them."""

    def __init__(self, *, pilot: int, draws: int, most_draws: int, reference: ReferenceKind, sequential: bool) -> None:
        """Fix the numbers of draws.

        Args:
            pilot: pilot draws.
            draws: certifying draws, at most.
            most_draws: the draws that thresholds are planned for: more than ``draws`` only where draws that stopped are
                made again.
            reference: what is certified.
            sequential: whether to stop as soon as the estimator has decided.
        """
        self.pilot = pilot
        self.draws = draws
        self.most_draws = most_draws
        self.reference: ReferenceKind = reference
        self.sequential = sequential

    @abstractmethod
    def estimator(self, pilot: Pilot, image: ImageFacts) -> Estimator:
        """What takes the certifying draws, made from the pilot's."""

    @abstractmethod
    def certificate(self, job: CertifyJob, image: ImageFacts, provenance: Provenance) -> Certificate:
        """What follows from a job whose draws are made."""
