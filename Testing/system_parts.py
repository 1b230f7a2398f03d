"""Say which parts of the system are missing, and what is left out without them: one sentence each."""

from __future__ import annotations

import ctypes.util
import shutil
import sys
from pathlib import Path


def chromium() -> str | None:
    """Path of a Chromium to drive: the system's, or the one that Playwright installed; None where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if path := shutil.which(name):
            return path
    try:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            path = playwright.chromium.executable_path
    except Exception:  # Playwright raises its own errors where its driver is missing; either way there is no browser
        return None
    return path if Path(path).exists() else None


def missing() -> list[str]:
    """One sentence for each missing part."""
    sentences = []
    if sys.platform.startswith("linux") and not ctypes.util.find_library("EGL"):
        sentences.append("EGL is missing: the workstation cannot draw; install libegl1 libegl-mesa0 libgl1-mesa-dri.")
    if chromium() is None:
        sentences.append("No Chromium found: browser tests are skipped; install chromium, or `playwright install chromium`.")
    if sys.platform.startswith("linux") and not all(map(ctypes.util.find_library, ("xkbcommon", "dbus-1", "fontconfig"))):
        sentences.append("Qt's libraries are missing: widget tests are skipped; install libxkbcommon0 libdbus-1-3 libfontconfig1 libgl1.")
    if not shutil.which("cmake") or not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        sentences.append("CMake or a compiler is missing: the packaging test is skipped; install cmake and g++.")
    return sentences


if __name__ == "__main__":
    for sentence in missing():
        print(sentence)
