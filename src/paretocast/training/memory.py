"""Peak memory of this process."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path


def reset_peak_memory() -> None:
    """Begin a new measurement of `peak_memory_mib`, where the system allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mib() -> float:
    """Largest resident memory of this process since `reset_peak_memory`, or since its start."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        peak = next(line for line in lines if line.startswith("VmHWM:"))
        return float(peak.split()[1]) / 1024.0
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / 1024.0**2 if sys.platform == "darwin" else largest / 1024.0
