"""SampleData: registers sources with the same demands as Slicer's module, and opens one by its button's function."""

from __future__ import annotations

import hashlib
import sys
import types
import urllib.request
from pathlib import Path
from typing import Any

import slicer


class SampleDataSource:
    def __init__(self, **fields: Any) -> None:
        if not isinstance(fields["uris"], str):
            raise TypeError("uris must be text or a list: Slicer counts them")
        self.__dict__.update(fields)

    def button_clicked(self) -> Any:
        """What the button of the Sample Data page does."""
        return self.customDownloader(self)

    def verify(self) -> bytes:
        """What SampleDataLogic does: fetch the URI, check the digest."""
        data = urllib.request.urlopen(self.uris).read()
        kind, digest = self.checksums.split(":")
        if hashlib.new(kind.lower(), data).hexdigest() != digest:
            raise ValueError("checksum verification failed")
        return data


class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: str | None = None,
        fileNames: str | None = None,
        nodeNames: str | None = None,
        customDownloader: Any = None,
        thumbnailFileName: str | None = None,
        loadFileType: str = "VolumeFile",
        loadFiles: Any = None,
        loadFileProperties: Any = None,
        checksums: str | None = None,
    ) -> None:
        if thumbnailFileName is not None and not Path(thumbnailFileName).is_file():
            raise FileNotFoundError(thumbnailFileName)
        names = {"sampleName": sampleName, "fileNames": fileNames, "nodeNames": nodeNames}
        source = SampleDataSource(uris=uris, customDownloader=customDownloader, checksums=checksums, **names)
        slicer.modules.sampleDataSources.setdefault(category, []).append(source)


def install() -> None:
    slicer.modules.sampleDataSources = {}
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = SampleDataLogic
    sys.modules["SampleData"] = module
