"""What one check found."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "absent", "failed"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        id: which, as ``onnxruntime.cpu``.
        status: ``ok``; ``absent``, and not needed for what was asked; or ``failed``: needed.
        expected: what is needed, or would be.
        actual: what is there.
        remedy: what to do; a failed check has one.
    """

    id: str
    status: Status
    expected: str
    actual: str
    remedy: str = ""

    def __post_init__(self) -> None:
        if self.status == "failed" and not self.remedy.strip():
            raise ValueError(f"the check {self.id} failed and says nothing that would help")


def judged(name: str, fine: bool, *, needed: bool, expected: str, actual: str, remedy: str) -> Check:
    """A check that is fine, or whose thing is needed, or not needed."""
    if fine:
        return Check(name, "ok", expected, actual)
    return Check(name, "failed" if needed else "absent", expected, actual, remedy)
