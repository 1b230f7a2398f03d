"""Jobs: one specification, run here or in a child process. The door of the `jobs_*` files; standard library only at import.

A specification names a task, its input and output files and its options. `run_here` reads, runs and writes, all or nothing.
`start` does the same in a child process that reports in JSON lines, can be cancelled, and ends with its parent.
"""

from __future__ import annotations

from .jobs_here import run_here
from .jobs_parent import Job, start, worker_python
from .jobs_specification import Outcome, Specification

__all__ = ["Job", "Outcome", "Specification", "child_main", "run_here", "start", "worker_python"]


def child_main() -> None:
    """What the child process runs: see jobs_child.py."""
    from .jobs_child import Worker

    Worker().main()
