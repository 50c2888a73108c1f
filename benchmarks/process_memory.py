"""What the system knows about a process: the memory that it holds and held, and its processor time.

At the bottom of the flow: every measurement reads its figures here. It is also imported by each
measured process, whatever its interpreter; so nothing but the standard library may be imported.
Invariant: all but :func:`own_peak_mib` read ``/proc``, which only Linux has.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

_RESET_PEAK: Final = "5"
_KIB: Final = 1024.0


def resident_mib(pid: int) -> float:
    """The memory that a process holds now."""
    return _field(_status(pid), "VmRSS")


def peak_mib(pid: int) -> float:
    """The most that a process has held since it started, or since :func:`reset_peak`."""
    return _field(_status(pid), "VmHWM")


def own_peak_mib() -> float:
    """The same of this process.

    Where there is no ``/proc``, what getrusage says: it also counts what the parent held before.
    """
    if _status(os.getpid()).exists():
        return peak_mib(os.getpid())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB


def reset_peak(pid: int) -> None:
    """Begin a new peak of memory, at what the process holds now."""
    Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK, encoding="ascii")


def proportional_mib(pid: int) -> float:
    """The memory of a process, with what it shares with others divided among them."""
    return _field(Path(f"/proc/{pid}/smaps_rollup"), "Pss")


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used since it started; it moves in hundredths."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    # The 14th and 15th field of the line; the name, which may hold blanks, ends the second.
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status(pid: int) -> Path:
    return Path(f"/proc/{pid}/status")


def _field(path: Path, field: str) -> float:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / _KIB
    raise ValueError(f"{path} says nothing about {field}")
