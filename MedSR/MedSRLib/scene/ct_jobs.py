"""Super-resolution of CT between nodes and files: a volume, a region of interest and a mask in, the finer region out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .jobs import ImageJob
from .regions import text_of_roi


class SuperResolveJob(ImageJob):
    """One super-resolution. Its labels are the mask, a segmentation or a label map; all labels of it count alike."""

    task, suffix, labels_port = "super_resolve_ct", "super-resolved", "mask"

    def __init__(self, source: Any, options: dict[str, Any], *, roi: Any = None, **how: Any) -> None:
        """roi: a region node, None for the whole volume. how: see ImageJob. Raises InputError for unusable nodes."""
        chosen = {} if roi is None else {"roi": text_of_roi(roi)}
        super().__init__(source, {**options, **chosen}, **how)
        self.roi = roi

    def _ports(self) -> tuple[dict[str, Path], dict[str, Path]]:
        ports = super()._ports()
        if self.roi is not None and self.roi.GetParentTransformNode() is not None:
            self.warnings += (f"{self.roi.GetName()} lies under a transform: the region is where the views show it.",)
        return ports
