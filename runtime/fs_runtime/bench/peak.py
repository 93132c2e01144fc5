"""How fast a device could multiply matrices, to hold an achieved rate against."""

from dataclasses import dataclass

from fs_runtime.bundle.manifest import Precision


@dataclass(frozen=True)
class Peak:
    """A rate.

    Attributes:
        tflops: 10^12 floating-point operations a second.
        source: who says so.
    """

    tflops: float
    source: str


# Dense rates: (fp16 and bf16 on tensor cores, fp32 without TF32), by the name that the driver gives.
_HOPPER_SXM = (989.4, 66.9)
_AMPERE = (312.0, 19.5)
_RATES = {
    "NVIDIA H200": _HOPPER_SXM,
    "NVIDIA H100 80GB HBM3": _HOPPER_SXM,
    "NVIDIA H100 PCIe": (756.0, 51.0),
    "NVIDIA A100-SXM4-40GB": _AMPERE,
    "NVIDIA A100-SXM4-80GB": _AMPERE,
    "NVIDIA A100-PCIE-40GB": _AMPERE,
    "NVIDIA A100 80GB PCIe": _AMPERE,
    "NVIDIA L40S": (362.0, 91.6),
    "NVIDIA L4": (121.0, 30.3),
}


def known_peak(gpu: str | None, precision: Precision) -> Peak | None:
    """The dense rate in NVIDIA's data sheet of ``gpu`` at a graph's precision; None: not known here."""
    if gpu not in _RATES or precision == "int8":
        return None
    half, single = _RATES[gpu]
    kind = "fp32 without TF32" if precision == "fp32" else "fp16 and bf16 tensor cores"
    return Peak(single if precision == "fp32" else half, f"NVIDIA's data sheet of the {gpu}, {kind}, dense")
