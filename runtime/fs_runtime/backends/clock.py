"""What a backend may tell of its device's own clock, which ``fs-runtime bench`` divides a block by."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class DeviceSeconds:
    """What a device's clock counted since its backend was opened.

    Attributes:
        copy: seconds of copies between host and device.
        noise: seconds of noise made on the device.
        graph: seconds of the graph.
    """

    copy: float
    noise: float
    graph: float

    def since(self, before: "DeviceSeconds") -> "DeviceSeconds":
        """What was counted after ``before``."""
        return DeviceSeconds(self.copy - before.copy, self.noise - before.noise, self.graph - before.graph)


@runtime_checkable
class HasDeviceClock(Protocol):
    """A backend that reads such a clock."""

    def device_seconds(self) -> DeviceSeconds | None:
        """What was counted so far; None: the clock cannot be read."""


def device_seconds(backend: object) -> DeviceSeconds | None:
    """What a backend tells; None: there is no clock of a device, or it cannot be read."""
    return backend.device_seconds() if isinstance(backend, HasDeviceClock) else None
