"""The noise made on an NVIDIA GPU, by a kernel that was compiled ahead (``kernels/``): the same draws as the CPU's."""

from fs_runtime.noise.device.compiled import CompiledKernel, compiled_kernels, kernel_for
from fs_runtime.noise.device.device_noise import DeviceNoise

__all__ = ["CompiledKernel", "DeviceNoise", "compiled_kernels", "kernel_for"]
