"""One job at a time, in a child process: the page's busy flag, progress, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from .. import jobs
from ..errors import Cancelled, MedSRError, ResourceError, from_dict

POLL_SECONDS = 0.1
CLOSE_SECONDS = 3.0


class Runner:
    """Starts a job, follows its events, cancels it. The event loop never waits for the child."""

    def __init__(self, start: Callable[[jobs.Specification], Any] = jobs.start) -> None:
        self._start, self._cancelled, self.busy = start, False, False
        self._job: Any = None

    async def run(self, specification: jobs.Specification, on_event: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Run to the end; gives the "result" event. Raises MedSRError, Cancelled among them."""
        if self.busy:
            raise ResourceError("another job is still running", fix="wait for it, or cancel it")
        self.busy, self._cancelled = True, False
        try:
            self._job = await asyncio.to_thread(self._start, specification)
            return await self._follow(on_event)
        finally:
            if self._job is not None:
                self._job.cancel()  # where the follower itself was stopped; a finished job ignores it
            self._job, self.busy = None, False

    async def _follow(self, on_event: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        while True:
            finished = self._job.finished  # asked before the events are read, so that the last ones are not lost
            for event in self._job.poll():
                if self._cancelled:
                    raise Cancelled()
                if event["event"] == "result":
                    return event
                if event["event"] == "error":
                    raise from_dict(event)
                on_event(event)
            if self._cancelled:
                raise Cancelled()
            if finished:
                self._job.outcome()
                raise MedSRError("the job ended without a result")
            await asyncio.sleep(POLL_SECONDS)

    def cancel(self) -> None:
        """Kill the child; `run` raises Cancelled at its next look."""
        self._cancelled = True
        if self._job is not None:
            self._job.cancel()

    def close(self) -> None:
        """Kill what still runs and wait for its end, when the server ends: its files are removed next."""
        job = self._job
        if job is not None:
            job.cancel()
            job.wait(CLOSE_SECONDS)
