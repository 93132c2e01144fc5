"""The parity gate: an exported graph must compute what the original module computes."""

from fs_exporters.parity.measure import ParityError, check_parity, measure_parity

__all__ = ["ParityError", "check_parity", "measure_parity"]
