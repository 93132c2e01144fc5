"""Compile the noise kernel for every GPU that is served: ``python runtime/build_kernels.py``.

Needs fs-runtime installed from this checkout, and no GPU. The compilers are NVIDIA's NVRTC from PyPI, in two releases:

- 12.0 for the PTX and for GPUs up to compute capability 9.0. Every driver of CUDA 12 or newer takes what it makes;
  the PTX of a newer one would be refused by older drivers, such as JetPack 6 has.
- 12.9 for the GPUs that came later.

``--check`` compiles again and compares every byte with what is there (exit code 1 if one differs).
"""

import ctypes
import hashlib
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec

from fs_runtime.noise.device.compiled import (
    COMPILER_OPTIONS,
    INDEX,
    KERNELS,
    SOURCES,
    CompiledKernel,
    KernelIndex,
    source_sha256,
)

COMPILERS = Path(__file__).resolve().parents[1] / "build" / "nvrtc"
PACKAGE = "nvidia-cuda-nvrtc-cu12"
TARGETS = {
    "12.0.140": ("compute_75", "sm_75", "sm_80", "sm_86", "sm_87", "sm_89", "sm_90"),
    "12.9.86": ("sm_100", "sm_103", "sm_120", "sm_121"),
}
"""By release: 8.7 is Jetson Orin; Jetson Thor and whatever is newer take the PTX of 7.5."""


class Nvrtc:
    """One release of NVRTC."""

    def __init__(self, version: str, folder: Path) -> None:
        """Open release ``version`` under ``folder``; it is installed there first if need be."""
        place = folder / version
        if not list(place.glob("**/libnvrtc.so.12")):
            wanted = f"{PACKAGE}=={version}"
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", place, wanted]
            subprocess.run(command, check=True)
        self.version = version
        self._library = ctypes.CDLL(str(next(place.glob("**/libnvrtc.so.12"))))
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def compile(self, target: str) -> bytes:
        """PTX (``compute_75``) or a cubin (``sm_75``).

        Raises:
            click.ClickException: the sources do not compile.
        """
        main, *headers = SOURCES
        texts = (ctypes.c_char_p * len(headers))(*((KERNELS / name).read_bytes() for name in headers))
        names = (ctypes.c_char_p * len(headers))(*(name.encode() for name in headers))
        program = ctypes.c_void_p()
        source = (KERNELS / main).read_bytes()
        self._call("CreateProgram", ctypes.byref(program), source, main.encode(), len(headers), texts, names)
        options = [f"--gpu-architecture={target}".encode(), *(option.encode() for option in COMPILER_OPTIONS)]
        status = self._library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        if log := self._read("ProgramLog", program).strip():
            click.echo(log.decode(), err=True)
        if status:
            raise click.ClickException(f"NVRTC {self.version} does not compile {main} for {target}: mend the source")
        return self._read("PTX", program) if target.startswith("compute_") else self._read("CUBIN", program)

    def _read(self, what: str, program: ctypes.c_void_p) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"Get{what}Size", program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self._call(f"Get{what}", program, text)
        return text.raw if what == "CUBIN" else text.value  # the others end with a NUL

    def _call(self, name: str, *arguments: object) -> None:
        if status := getattr(self._library, f"nvrtc{name}")(*arguments):
            raise click.ClickException(f"nvrtc{name}: {self._library.nvrtcGetErrorString(status).decode()}")


def built(compilers: Path) -> dict[str, bytes]:
    """Every file by name, the index among them."""
    code: dict[str, bytes] = {}
    kernels: list[CompiledKernel] = []
    for version, targets in TARGETS.items():
        compiler = Nvrtc(version, compilers)
        for target in targets:
            kind, number = target.split("_")
            file = f"{target}.ptx" if kind == "compute" else f"{target}.cubin"
            code[file] = compiler.compile(target)
            kernels.append(
                CompiledKernel(
                    file=file,
                    kind="ptx" if kind == "compute" else "cubin",
                    compute_capability=f"{number[:-1]}.{number[-1]}",
                    compiler=f"NVRTC {version}",
                    sha256=hashlib.sha256(code[file]).hexdigest(),
                    bytes=len(code[file]),
                )
            )
    index = KernelIndex(source_sha256=source_sha256(), options=COMPILER_OPTIONS, kernels=tuple(kernels))
    code[INDEX] = msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n"
    return code


def differing(files: dict[str, bytes]) -> Iterable[str]:
    """Names of those that are not in the package as they are here, and of those there that are not here."""
    there = {path.name for path in KERNELS.iterdir() if path.name not in SOURCES}
    return sorted(there ^ files.keys()) + [
        name for name in sorted(there & files.keys()) if (KERNELS / name).read_bytes() != files[name]
    ]


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if the package holds anything else.")
@click.option(
    "--compilers",
    type=click.Path(path_type=Path, file_okay=False),
    default=COMPILERS,
    show_default="build/nvrtc",
    help="Where the releases of NVRTC are, each in a folder named for it; one that is missing is installed there.",
)
def main(check: bool, compilers: Path) -> None:
    """Compile the noise kernel into the package."""
    files = built(compilers)
    if not check:
        for path in KERNELS.iterdir():
            if path.name not in SOURCES:
                path.unlink()
        for name, content in files.items():
            (KERNELS / name).write_bytes(content)
    elif different := list(differing(files)):
        raise click.ClickException(f"{', '.join(different)} is not what the sources give: run without --check")
    size = sum(map(len, files.values()))
    done = "as they are in" if check else "written to"
    click.echo(f"{len(files)} files, {size / 1e3:.0f} kB, {done} {KERNELS.name}/")


if __name__ == "__main__":
    main()
