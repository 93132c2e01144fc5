"""The parity gate: an exported graph must compute what the original module computes."""

from fs_exporters.parity.errors import ParityError
from fs_exporters.parity.measure import (
    LEAST_PARITY_DRAWS,
    PARITY_DRAWS,
    angle_change,
    check_parity,
    measure_bare,
    measure_bundle,
    measure_parity,
)

__all__ = [
    "LEAST_PARITY_DRAWS",
    "PARITY_DRAWS",
    "ParityError",
    "angle_change",
    "check_parity",
    "measure_bare",
    "measure_bundle",
    "measure_parity",
]
