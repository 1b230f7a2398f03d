"""The browser workstation: trame-slicer over scene/ and jobs.py, on this computer only."""

from __future__ import annotations

from collections.abc import Callable


def run(files: list[str], *, port: int = 0, open_browser: bool = True, announce: Callable[[str], None] | None = None) -> int:
    """Serve the workstation on 127.0.0.1 until Ctrl-C or its stop button; gives the exit code.

    files: images to open at once. port: 0 takes a free one. announce: told the link, once the page can be opened;
    without it the link is written to standard error. Raises MedSRError where it cannot start.
    """
    from .environment import check_drawing, prepare_drawing, require_packages

    require_packages()
    prepare_drawing()
    check_drawing()
    from .serve import serve

    return serve(files, port, open_browser, announce)
