"""Where the network runs: the device and the precision, chosen by capability and said."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from medimg.errors import UsageError

PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class Device:
    """A torch device, the precision of its matrix work, and why these were chosen."""

    device: torch.device
    precision: str
    reason: str

    @property
    def threads(self) -> int:
        """Processor threads torch works with."""
        return torch.get_num_threads()

    @property
    def autocast(self) -> torch.autocast:
        """The context in which the network runs."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


def choose_device(name: str = "auto", precision: str = "auto", threads: int = 0) -> Device:
    """`name`: auto, cpu, cuda, cuda:N or mps; `precision`: auto, fp32 or bf16; `threads`: 0 leaves torch's choice.

    auto takes CUDA, then Apple's GPU, then the CPU; bf16 where the processor multiplies it in hardware.
    Raises UsageError when what was asked for is not there.
    """
    if threads:
        torch.set_num_threads(threads)
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
    device = _device(name)
    native, why = _bf16(device)
    chosen = precision if precision != "auto" else ("bf16" if native else "fp32")
    return Device(device, chosen, f"{device} ({why}), {chosen}")


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device {name!r} is unknown; use auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device {name}: this machine has {torch.cuda.device_count()} CUDA devices; use auto or cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device mps: no Apple GPU here; use auto or cpu")
    if device.type not in {"cpu", "cuda", "mps"}:
        raise UsageError(f"device {name!r} is not supported; use auto, cpu, cuda, cuda:N or mps")
    return device


def _bf16(device: torch.device) -> tuple[bool, str]:
    """Whether bf16 is native there, and the hardware's name."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False), torch.cuda.get_device_name(device)
    if device.type == "mps":
        return False, "Apple GPU"
    flag = cpu_bf16()
    return flag is not None, flag or "no bf16 instructions"


def cpu_bf16() -> str | None:
    """Name of the CPU's bf16 matrix instructions, None when it has none (bf16 would then be slower than fp32)."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if capabilities.get("amx_bf16") or capabilities.get("amx_tile") or _has("_is_amx_tile_supported"):
        return "AMX"
    if capabilities.get("avx512_bf16") or _has("_is_avx512_bf16_supported"):
        return "AVX512-BF16"
    if capabilities.get("bf16") and capabilities.get("architecture") == "aarch64":
        return "ARM BF16"
    return None


def _has(probe: str) -> bool:
    check = getattr(torch.cpu, probe, None)
    return bool(check()) if check is not None else False
