"""Is everything here that this machine needs? One file for each kind of check."""

from fs_runtime.doctor.check import Check
from fs_runtime.doctor.diagnosis import DEVICES, Device, diagnose

__all__ = ["DEVICES", "Check", "Device", "diagnose"]
