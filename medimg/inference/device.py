"""Where the network runs: the device and the precision, chosen by capability and said.

torch is imported where it is asked, which for OpenVINO it is not.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import util
from typing import TYPE_CHECKING

from medimg.errors import UsageError
from medimg.inference.openvino_package import has_bf16
from medimg.inference.options import BACKENDS, PRECISIONS, Engine

if TYPE_CHECKING:
    import torch

HALVES = ("bf16", "fp16")


@dataclass(frozen=True)
class Device:
    """A device as torch names it, the precision of its matrix work, why these were chosen, and what runs there.

    threads: of the processor, that the network is run with; 0 where OpenVINO chooses.
    """

    name: str
    precision: str
    reason: str
    backend: str = "torch"
    threads: int = 1

    @property
    def device(self) -> torch.device:
        """As torch takes it."""
        import torch

        return torch.device(self.name)

    @property
    def autocast(self) -> torch.autocast:
        """The context in which torch runs the network."""
        import torch

        half = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, half, enabled=self.precision in HALVES)


def choose_device(name: str = "auto", precision: str = "auto", threads: int = 0, backend: str = "auto") -> Device:
    """`name`: auto, cpu, cuda, cuda:N or mps; the others as `medimg.inference.options.Engine` has them.

    auto takes CUDA, then Apple's GPU, then the CPU; bf16 where the processor multiplies it in hardware.
    Raises UsageError when what was asked for is not there.
    """
    if backend not in BACKENDS:
        raise UsageError(f"engine {backend!r}; choose one of {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
    return _openvino_device(name, precision, threads) if backend == "openvino" else _torch(name, precision, threads)


def start_device(engine: Engine) -> Device:
    """The device as asked for. Raises UsageError when it is not there."""
    return choose_device(engine.device, engine.precision, engine.threads, engine.backend)


def _torch(name: str, precision: str, threads: int) -> Device:
    import torch

    if threads:
        torch.set_num_threads(threads)
    device = _device(name)
    _require_precision(precision, device.type)
    native, why = _bf16(device)
    chosen = precision if precision != "auto" else ("bf16" if native else "fp32")
    return Device(str(device), chosen, f"{device} ({why}), {chosen}", threads=torch.get_num_threads())


def _openvino_device(name: str, precision: str, threads: int) -> Device:
    if util.find_spec("openvino") is None:
        raise UsageError("engine openvino is not installed; pip install 'medimg[openvino]', or use --engine torch")
    if name not in {"auto", "cpu"}:
        raise UsageError(f"engine openvino runs on the CPU here, not on {name}; leave --device out or use cpu")
    _require_precision(precision, "cpu")
    native = has_bf16()
    if threads and (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)  # transforms and the first conversion are torch's all the same
    why = "BF16" if native else "no bf16 instructions"
    chosen = precision if precision != "auto" else ("bf16" if native else "fp32")
    return Device("cpu", chosen, f"cpu ({why}), {chosen}, OpenVINO", "openvino", threads)


def _require_precision(precision: str, kind: str) -> None:
    if precision == "fp16" and kind == "cpu":
        raise UsageError("precision fp16 is slower than fp32 on a CPU; use bf16 or fp32")


def _device(name: str) -> torch.device:
    import torch

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
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False), torch.cuda.get_device_name(device)
    if device.type == "mps":
        return False, "Apple GPU"
    flag = cpu_bf16()
    return flag is not None, flag or "no bf16 instructions"


def cpu_bf16() -> str | None:
    """Name of the CPU's bf16 matrix instructions, None when it has none (bf16 would then be slower than fp32)."""
    import torch

    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if capabilities.get("amx_bf16") or capabilities.get("amx_tile") or _has("_is_amx_tile_supported"):
        return "AMX"
    if capabilities.get("avx512_bf16") or _has("_is_avx512_bf16_supported"):
        return "AVX512-BF16"
    if capabilities.get("bf16") and capabilities.get("architecture") == "aarch64":
        return "ARM BF16"
    return None


def _has(probe: str) -> bool:
    import torch

    check = getattr(torch.cpu, probe, None)
    return bool(check()) if check is not None else False
