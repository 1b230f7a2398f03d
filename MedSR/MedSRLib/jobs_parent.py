"""The parent's side of a job: a child process whose events are polled, and whose whole tree ends on cancel."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .errors import Cancelled, DependencyError, MedSRError, ResourceError, from_dict
from .jobs_files import remove_leftovers
from .jobs_specification import Outcome, Specification

LOG_LINES = 200
KILLED = 9
"""The signal that no program can refuse: the system sends it when memory runs out."""
ASK_SECONDS, TERM_SECONDS = 0.8, 0.4
"""A cancelled child is asked first, then told (SIGTERM), then killed with its tree: at most 1.2 s in all."""

Event = dict[str, Any]


def worker_python() -> str:
    """The interpreter that runs the child: PythonSlicer in Slicer (whose own sys.executable is no Python), else this one.

    Raises DependencyError where there is none.
    """
    stem = Path(sys.executable or "").stem.lower()
    in_slicer = bool(os.environ.get("SLICER_HOME")) or "slicer" in stem
    found = shutil.which("PythonSlicer") if in_slicer else None
    if found or (stem.startswith("python") and not in_slicer):
        return found or sys.executable
    raise DependencyError(
        "no Python interpreter for the worker was found", fix="start Slicer by its launcher, which puts PythonSlicer on the path"
    )


def start(spec: Specification, python: str | None = None) -> Job:
    """Start a job in a child process and return at once.

    python: an interpreter; None takes `worker_python`. Raises DependencyError where it cannot be started.
    """
    spec = spec.absolute()
    return Job(_process(python or worker_python()), spec)


def _process(python: str) -> subprocess.Popen[bytes]:
    library = Path(__file__).resolve().parents[1]
    code = f"import sys; sys.path.insert(0, {ascii(str(library))}); from {__package__}.jobs import child_main; child_main()"
    environment = {**os.environ, "PYTORCH_ENABLE_MPS_FALLBACK": "1"}
    group: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        group = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    pipe = subprocess.PIPE
    try:
        command = [python, "-u", "-X", "utf8", "-c", code]
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=library, env=environment, bufsize=0, **group)
    except OSError as error:
        raise DependencyError(f"the worker cannot be started ({error.strerror})", where=python, fix="check this Python") from error


class Job:
    """A running child process. `poll` what it says, `cancel` it, ask whether it is `finished`, then take its `outcome`."""

    def __init__(self, process: subprocess.Popen[bytes], spec: Specification) -> None:
        self._process, self._spec = process, spec
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._last: Event | None = None
        self._worker_pid = process.pid
        self._polled = False
        self._cancelled, self._exited, self._ended = threading.Event(), threading.Event(), threading.Event()
        self._readers = [_thread(self._read_events), _thread(self._read_log)]
        _thread(self._wait_for_end)
        self._send(spec.to_json())

    def poll(self) -> list[Event]:
        """The events since the last call; never waits. The last one of a job is a "result" or an "error"."""
        self._polled = True
        events = []
        while not self._events.empty():
            events.append(self._events.get_nowait())
        return events

    @property
    def finished(self) -> bool:
        """True when the process is gone and, for one who polls, the last event was handed out."""
        return self._ended.is_set() and (self._events.empty() or not self._polled)

    @property
    def log(self) -> str:
        """The last lines that the worker wrote to its standard error."""
        return "\n".join(self._log)

    @property
    def pid(self) -> int:
        """The worker's own process number (its launcher's, until the worker has said so)."""
        return self._worker_pid

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; False where the time ran out."""
        return self._ended.wait(timeout)

    def outcome(self) -> Outcome:
        """What the job gave; waits for its end. Raises what the job raised, Cancelled where it was cancelled."""
        self.wait()
        last = self._last or {}
        if last.get("event") != "result":
            raise from_dict(last)
        return Outcome(last["outputs"], last["report"], last["seconds"], tuple(last["warnings"]))

    def cancel(self) -> None:
        """End the job and all its processes within two seconds; returns at once. Does nothing once it is finished."""
        if not self._cancelled.is_set() and not self._ended.is_set():
            self._cancelled.set()
            _thread(self._end_tree)

    def _send(self, line: str) -> None:
        """Write to the worker, which may be gone."""
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(line.encode("ascii") + b"\n")
        except (OSError, ValueError):
            self._log.append("the worker no longer listens")

    def _read_events(self) -> None:
        for line in _lines(self._process.stdout):
            try:
                event = json.loads(line)
                kind = event["event"]
            except (ValueError, TypeError, KeyError):
                event, kind = {"event": "log", "text": line}, "log"
            if kind == "pid":
                self._worker_pid = int(event["pid"])
            if kind in ("result", "error"):
                self._last = event  # handed out when the process is gone
            else:
                self._events.put(event)

    def _read_log(self) -> None:
        for line in _lines(self._process.stderr):
            self._log.append(line)
            self._events.put({"event": "log", "text": line})

    def _wait_for_end(self) -> None:
        code = self._process.wait()
        self._exited.set()
        for reader in self._readers:
            reader.join(TERM_SECONDS)  # a grandchild may still hold the pipe
        for path in self._spec.outputs.values():
            remove_leftovers(Path(path).parent, self._worker_pid)
        if self._last is None:
            error = self._why(code)
            self._last = {"event": "error", **error.to_dict(), "exit_code": error.exit_code}
        self._events.put(self._last)
        self._ended.set()
        self._close()

    def _why(self, code: int) -> MedSRError:
        """Why a worker ended without a word."""
        if self._cancelled.is_set():
            return Cancelled()
        if code in (-KILLED, 128 + KILLED) or "bad_alloc" in self.log:
            what = "the worker was killed, probably because memory ran out"
            return ResourceError(what, fix="close other programs, or ask for a coarser spacing")
        last = next((line.strip() for line in reversed(self._log) if line.strip()), "no message")
        return MedSRError(f"the worker ended unexpectedly by {_name(code)} ({last})", fix="see the log")

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:
                continue

    def _end_tree(self) -> None:
        self._send("cancel")
        if not self._exited.wait(ASK_SECONDS):
            self._signal_tree(signal.SIGTERM)
            self._exited.wait(TERM_SECONDS)
        self._signal_tree(KILLED)  # also those that the worker left behind

    def _signal_tree(self, number: int) -> None:
        if sys.platform == "win32":
            pids = [word for pid in {self._process.pid, self._worker_pid} for word in ("/PID", str(pid))]
            subprocess.run(["taskkill", "/F", "/T", *pids], capture_output=True, creationflags=subprocess.CREATE_NO_WINDOW)
            return
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return


def _name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"code {code}"


def _thread(target: Any, *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


def _lines(pipe: IO[bytes] | None) -> Iterator[str]:
    """The lines of a pipe without a buffer, so that it can be closed while somebody waits for it."""
    assert pipe is not None
    rest = b""
    try:
        while chunk := pipe.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode("utf-8", "replace").rstrip("\r") for line in lines)
    except (OSError, ValueError):  # closed meanwhile
        return
    if rest:
        yield rest.decode("utf-8", "replace")
