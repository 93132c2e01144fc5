"""The noise made on an NVIDIA GPU, by a kernel that was compiled ahead (``kernels/``): the same draws as the CPU's."""

from fs_runtime.noise.device.compiled import CompiledKernel, compiled_kernels, kernel_for
from fs_runtime.noise.device.device_noise import OLDEST_CUDA, DeviceNoise, is_too_old

__all__ = ["OLDEST_CUDA", "CompiledKernel", "DeviceNoise", "compiled_kernels", "is_too_old", "kernel_for"]
