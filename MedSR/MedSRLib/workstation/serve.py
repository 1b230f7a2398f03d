"""From start to stop: the event loop, the signals, the temporary folder."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trame_server.utils.asynchronous import create_task

from ..errors import ResourceError
from .app import Workstation
from .gate import Gate

PORT_REFUSED = (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL)


def serve(files: list[str], port: int, open_browser: bool, announce: Callable[[str], None] | None) -> int:
    """Run until stopped; the temporary folder and the child process are gone when it returns."""
    os.environ["TRAME_ARGS"] = ""  # trame would read this command's own arguments as its own, --host among them
    folder = Path(tempfile.mkdtemp(prefix="medsr_app_"))
    gate = Gate()

    def ready(used_port: int) -> None:
        link = gate.url(used_port)
        (announce or _announce)(link)
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()

    try:
        asyncio.run(_run(folder, gate, files, port, ready))
    except KeyboardInterrupt:
        return 0  # Ctrl-C is how a server is meant to be stopped
    except OSError as error:
        if error.errno not in PORT_REFUSED:
            raise
        raise ResourceError(f"port {port} cannot be used ({error.strerror})", fix="choose another, or leave --port out") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


async def _run(folder: Path, gate: Gate, files: list[str], port: int, ready: Callable[[int], None]) -> None:
    workstation = Workstation(folder, gate)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_on_stray_failure)
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError):  # Windows; or not the main thread
            loop.add_signal_handler(number, lambda: create_task(workstation.stop()))
    workstation.open(files)
    try:
        await workstation.serve(port, ready)
    finally:
        workstation.runner.close()


def _on_stray_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A tab that closes while it is being sent something is no failure; anything else is reported as usual."""
    if not isinstance(context.get("exception"), ConnectionError):
        loop.default_exception_handler(context)


def _announce(link: str) -> None:
    sys.stderr.write(f"MedSR workstation: {link}\n")
