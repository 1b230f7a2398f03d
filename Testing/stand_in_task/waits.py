"""A task that does what its option says: waits, prints, fails, dies. It inverts the volume, so that a result is told from its input."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from MedSRLib.run import Progress
from MedSRLib.tasks.options import Port, option

TITLE = "Wait"
VERB = "wait here"
SUMMARY = "Wait a while, then invert the volume."
INPUTS = (Port("volume", "volume", "Any volume."), Port("segmentation", "segmentation", "Labels.", required=False))
OUTPUTS = (
    Port("volume", "volume", "The inverted volume."),
    Port("segmentation", "segmentation", "The same labels.", required=False),
    Port("figures", "table", "A row a step.", required=False),
    Port("picture", "figure", "Never drawn.", required=False),
)


@dataclass(frozen=True)
class Options:
    seconds: float = option(0.0, "How long.", unit="s", minimum=0.0, maximum=60.0)
    deed: str = option("wait", "What to do.", choices=("wait", "print", "memory", "kill", "crash", "import", "deaf", "bug"))
    model: str = option("", "As the real task has it.")
    method: str = option("auto", "As the real task has it.", choices=("auto", "model"))
    steps: int = option(20, "Progress reports.", minimum=1, maximum=1000, advanced=True)
    careful: bool = option(False, "As the real task has flags.")


@dataclass(frozen=True)
class Result:
    volume: tuple
    segmentation: Any = None
    figures: list = field(default_factory=list)
    picture: bytes | None = None
    report: dict = field(default_factory=dict)


def waits(volume, options=Options(), *, segmentation=None, progress=Progress()):
    DEEDS.get(options.deed, lambda: None)()
    rows = []
    for step in range(options.steps):
        progress(step / options.steps, f"Step {step}")
        time.sleep(options.seconds / options.steps)
        rows.append({"step": step, "share": step / options.steps})
    made = tuple(frame.with_(array=frame.array.max() - frame.array) for frame in volume)
    report = {"steps": options.steps, "nothing": float("nan"), "pid": os.getpid(), "warnings": ("the stand-in was at work",)}
    return Result(made, segmentation, rows, None, report)


def _print():
    print("a library talks on standard output")
    os.write(1, b"and another one, in C\n")
    print("and on standard error", file=sys.stderr)


def _memory():
    raise MemoryError


def _bug():
    raise RuntimeError("the stand-in has\na bug")


def _deaf():
    """Neither listens nor ends when asked, and has a child that does not either."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code])
    print(f"grandchild {child.pid}", file=sys.stderr, flush=True)
    time.sleep(60)


def _import():
    import there_is_no_such_library  # noqa: F401


DEEDS = {
    "print": _print,
    "memory": _memory,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crash": os.abort,
    "bug": _bug,
    "deaf": _deaf,
    "import": _import,
}
