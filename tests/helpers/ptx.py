"""Runs PTX one thread at a time: what a compiled kernel does, as its instructions say, without a GPU.

It knows the instructions of this project's kernels and refuses all others. Integers are kept unsigned.
"""

import ctypes
import ctypes.util
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Number = int | np.float32 | bool
_libm = ctypes.CDLL(ctypes.util.find_library("m") or "libm.so.6")
_libm.fmaf.restype = ctypes.c_float
_libm.fmaf.argtypes = (ctypes.c_float,) * 3
_PACKED = {"u32": "<I", "u64": "<Q", "f32": "<f"}
_COMPARED: dict[str, Callable[[int, int], bool]] = {
    "eq": int.__eq__,
    "ne": int.__ne__,
    "lt": int.__lt__,
    "le": int.__le__,
    "gt": int.__gt__,
    "ge": int.__ge__,
}


def _bits(kind: str) -> int:
    return int(kind[1:])


def _wrapped(value: int, kind: str) -> int:
    return value & ((1 << _bits(kind)) - 1)


def _signed(value: int, kind: str) -> int:
    value = _wrapped(value, kind)
    return value - (1 << _bits(kind)) if kind[0] == "s" and value >> (_bits(kind) - 1) else value


@dataclass(frozen=True)
class Instruction:
    """One line: ``@guard name operands``."""

    guard: str
    name: str
    operands: tuple[str, ...]


class PtxKernel:
    """One kernel of a PTX module."""

    def __init__(self, text: str, entry: str) -> None:
        body = text[text.index(f".entry {entry}(") :]
        head, body = body.split("\n{\n", 1)
        self.parameters = self._parameters(head)
        self.instructions: list[Instruction] = []
        self._labels: dict[str, int] = {}
        for line in body[: body.index("\n}")].splitlines():
            code = line.split("//")[0].strip()
            if label := re.fullmatch(r"(\$\w+):", code):
                self._labels[label[1]] = len(self.instructions)
            elif code and not code.startswith("."):
                found = re.fullmatch(r"(?:@(!?%p\d+)\s+)?([\w.]+)\s*(.*);", code)
                assert found, code
                # Commas inside of {a, b} do not separate operands.
                operands = re.findall(r"\{[^}]*\}|[^,\s]+", found[3])
                self.instructions.append(Instruction(found[1] or "", found[2], tuple(operands)))

    @staticmethod
    def _parameters(head: str) -> dict[str, tuple[int, int]]:
        """Offset and size by name, laid out as the driver does: each at a multiple of its alignment."""
        parameters, end = {}, 0
        for align, kind, name, count in re.findall(r"\.param (?:\.align (\d+) )?\.(\w+) (\w+)(?:\[(\d+)\])?", head):
            size = int(kind[1:]) // 8 * int(count or 1)
            step = int(align or size)
            end = -(-end // step) * step
            parameters[name] = (end, size)
            end += size
        return parameters

    def packed(self, *values: bytes) -> bytes:
        """The parameters' memory."""
        memory = bytearray(max(offset + size for offset, size in self.parameters.values()))
        for (offset, size), value in zip(self.parameters.values(), values, strict=True):
            assert len(value) == size
            memory[offset : offset + size] = value
        return bytes(memory)

    def run(self, parameters: bytes, special: dict[str, int]) -> dict[int, np.float32]:
        """One thread with ``special`` registers (``%tid.x``): the floats it stores, by address."""
        with np.errstate(all="ignore"):
            return _Thread(self, parameters, special).run()

    def target(self, label: str) -> int:
        return self._labels[label]


class _Thread:
    def __init__(self, kernel: PtxKernel, parameters: bytes, special: dict[str, int]) -> None:
        self._kernel = kernel
        self._memory = parameters
        self._registers: dict[str, Number] = dict(special)
        self._stored: dict[int, np.float32] = {}

    def run(self) -> dict[int, np.float32]:
        at = 0
        while True:
            instruction = self._kernel.instructions[at]
            at += 1
            guard = instruction.guard
            if guard and bool(self._registers[guard.lstrip("!")]) == guard.startswith("!"):
                continue
            name, operands = instruction.name, instruction.operands
            if name == "ret":
                return self._stored
            if name in ("bra", "bra.uni"):
                at = self._kernel.target(operands[0])
            elif name.startswith("st.global"):
                self._store(*operands)
            else:
                self._registers[operands[0]] = self._value(name.split("."), operands[1:])

    def _read(self, operand: str) -> Number:
        if operand.startswith("%"):
            return self._registers[operand]
        if operand.startswith("0f"):
            return np.frombuffer(struct.pack("<I", int(operand[2:], 16)), np.float32)[0]
        if operand in self._kernel.parameters:
            return self._kernel.parameters[operand][0]
        return int(operand, 0)

    def _address(self, operand: str) -> int:
        base, _, offset = operand.strip("[]").partition("+")
        return int(self._read(base)) + int(offset or 0)

    def _store(self, place: str, values: str) -> None:
        for i, name in enumerate(values.strip("{}").split(",")):
            value = self._read(name.strip())
            assert isinstance(value, np.float32)
            address = self._address(place) + 4 * i
            assert address not in self._stored
            self._stored[address] = value

    def _value(self, name: list[str], operands: tuple[str, ...]) -> Number:
        if name[:2] == ["ld", "param"]:
            (value,) = struct.unpack_from(_PACKED[name[2]], self._memory, self._address(operands[0]))
            return np.float32(value) if name[2] == "f32" else value
        if name[0] == "cvta":
            return self._read(operands[0])
        inputs = [self._read(operand) for operand in operands]
        if name[0] == "mov":
            return inputs[0]
        if name[0] == "selp":
            return inputs[0] if inputs[2] else inputs[1]
        if name[0] == "cvt":
            return _converted(name[1:], inputs[0])
        if name[-1] == "f32":
            return _float_result(name, [np.float32(value) for value in inputs])
        return _integer_result(name, [int(value) for value in inputs])


def _converted(name: list[str], value: Number) -> Number:
    match name:
        case ["rn", "f32", kind] if kind != "f32":
            return np.float32(_signed(int(value), kind))
        case ["rzi", kind, "f32"]:
            return _wrapped(int(value), kind)
        case ["rmi", "f32", "f32"]:
            return np.float32(np.floor(value))
        case [to, kind]:
            return _wrapped(_signed(int(value), kind), to)
    raise NotImplementedError(f"cvt.{'.'.join(name)}")


def _float_result(name: list[str], inputs: list[np.float32]) -> np.float32:
    match name:
        case ["add", "rn", "f32"]:
            return inputs[0] + inputs[1]
        case ["sub", "rn", "f32"]:
            return inputs[0] - inputs[1]
        case ["mul", "rn", "f32"]:
            return inputs[0] * inputs[1]
        case ["fma", "rn", "f32"]:
            return np.float32(_libm.fmaf(*map(float, inputs)))
        case ["rcp", "rn", "f32"]:
            return np.float32(1.0) / inputs[0]
        case ["sqrt", "rn", "f32"]:
            return np.sqrt(inputs[0])
        case ["neg", "f32"]:
            return -inputs[0]
    raise NotImplementedError(".".join(name))


def _integer_result(name: list[str], inputs: list[int]) -> int | bool:
    operation, kind = name[0], name[-1]
    if operation == "setp":
        return _COMPARED[name[1]](_signed(inputs[0], kind), _signed(inputs[1], kind))
    if operation == "shl" or operation == "shr":
        assert inputs[1] < _bits(kind)
        return _wrapped(inputs[0] << inputs[1] if operation == "shl" else _wrapped(inputs[0], kind) >> inputs[1], kind)
    values = [_signed(value, kind) for value in inputs]
    match [*name[:-1]]:
        case ["add"]:
            return _wrapped(values[0] + values[1], kind)
        case ["sub"]:
            return _wrapped(values[0] - values[1], kind)
        case ["mul", "lo"]:
            return _wrapped(values[0] * values[1], kind)
        case ["mul", "hi"]:
            return _wrapped(values[0] * values[1] >> _bits(kind), kind)
        case ["mul", "wide"] if kind[0] == "u":
            return values[0] * values[1]
        case ["xor"]:
            return values[0] ^ values[1]
        case ["and"]:
            return values[0] & values[1]
        case ["neg"]:
            return _wrapped(-values[0], kind)
        case ["clz"]:
            return _bits(kind) - values[0].bit_length()
    raise NotImplementedError(".".join(name))
