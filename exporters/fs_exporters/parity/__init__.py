"""The parity gate: an exported graph must compute what the original module computes."""

from fs_exporters.parity.measure import PARITY_DRAWS, ParityError, check_parity, measure_bundle, measure_parity

__all__ = ["PARITY_DRAWS", "ParityError", "check_parity", "measure_bundle", "measure_parity"]
