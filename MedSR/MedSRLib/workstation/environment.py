"""What drawing needs on this machine, asked before VTK is first used."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys

from ..errors import DependencyError

EGL_FIX = "install Mesa's EGL (Debian, Ubuntu: apt install libegl1 libegl-mesa0 libgl1-mesa-dri; Fedora: mesa-libEGL mesa-dri-drivers)"


def require_packages() -> None:
    """Raises DependencyError where the browser workstation's packages are not installed."""
    for package in ("trame_slicer", "slicer", "vtkmodules", "trame_vuetify"):
        if importlib.util.find_spec(package) is None:
            raise DependencyError(f"the browser workstation needs {package}, which is not installed", fix='run: pip install "medsr[app]"')


def prepare_drawing() -> None:
    """On Linux without a display, let VTK draw through EGL. Raises DependencyError where there is no EGL library."""
    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY"):
        return
    window = os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    if window != "vtkEGLRenderWindow":
        return
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError as error:
        raise DependencyError("there is no display and no EGL library to draw without one", fix=EGL_FIX) from error


def check_drawing() -> None:
    """Make one small picture off screen. Raises DependencyError where OpenGL is there in name only."""
    import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  (registers the window that vtkRenderWindow() makes)
    from vtkmodules.vtkRenderingCore import vtkRenderWindow

    window = vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetShowWindow(False)
    if not window.SupportsOpenGL():
        raise DependencyError("OpenGL does not work on this machine", fix=EGL_FIX)
    window.Finalize()
