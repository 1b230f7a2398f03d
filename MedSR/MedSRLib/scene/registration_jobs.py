"""Registration of a slide between nodes and files: MRI and slide in, the transform that lays the slide on its slice out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..io import transforms
from ..io.series import stem_of, suffix_of
from ..jobs_specification import Outcome
from ..tasks.slide_input import OUTLINES_ALONE
from ..tasks.slide_report import REPORT, read_mpp
from . import attributes, slide_files, slides, tables
from .aftercare import describe
from .exchange import load_colour, load_labels
from .jobs import NodeJob, transform_warning
from .nodes import add_node, grid_from_node
from .registration_results import FUSED, LABELS, SLIDE, TABLE, WARP, RegistrationResults
from .segmentations import add_segmentation, segments_of
from .slide_transform import SLICE, add_grid, add_linear, describe_slide, matrix_of, mpp_under

TASK = "register_slide"


class RegisterJob(NodeJob):
    """One registration. Its results are in the scene's world, below no transform but their own."""

    task = TASK

    def __init__(
        self,
        source: Any,
        options: Mapping[str, Any],
        *,
        slide: Any,
        mri_mask: Any = None,
        outlines: Any = None,
        landmarks: Any = None,
        case: Path | None = None,
        placed: Any = None,
        fused: bool = True,
        fused_slide: Path | None = None,
    ) -> None:
        """source: the MRI's volume node, or the label map of its gland alone. slide: a path, a colour volume, or a label map of outlines.

        mri_mask: segmentation or label map. outlines: a path, or nodes drawn on the slide's (see slide_files.outline_file). landmarks:
        a path, or (points on the slide, points on the MRI). case: a path, the case's description. placed: instead of landmarks and
        case, the transform node under which the slide was laid by hand: the option transform_as says whether to start there, or to
        keep it as it is ("result").
        fused_slide: where to write the fused pyramid, if anywhere.
        """
        super().__init__(source, options)
        self.slide, self.mri_mask, self.outlines, self.landmarks = slide, mri_mask, outlines, landmarks
        self.case, self.placed = case, placed
        self.wants_fused, self.fused_slide = fused, fused_slide

    @property
    def slide_node(self) -> Any:
        """The slide's colour volume in the scene, None where it is a file, or outlines alone."""
        return None if isinstance(self.slide, (str, Path)) or self.slide.IsA("vtkMRMLLabelMapVolumeNode") else self.slide

    def _ports(self) -> tuple[dict[str, Path], dict[str, Path]]:
        inputs = {"mri": self.files.export_volume(self.source), "slide": slide_files.slide_file(self.files, self.slide)}
        self.warnings = transform_warning(self.source)
        if self.mri_mask is not None:
            inputs["mri_mask"], _, said = self.files.export_labels(self.mri_mask, self.source)
            self.warnings += said
        if self.outlines is not None:
            inputs["outlines"] = slide_files.outline_file(self.files, self.outlines, self.slide_node)
        self._state_mpp()
        return inputs | self._guides(inputs["slide"]), self._outputs(inputs["slide"])

    def _guides(self, slide: Path) -> dict[str, Path]:
        """What says where the slide lies, beside the pictures and masks."""
        if self.placed is not None:
            return {"transform": self._placed(slide)}
        found = {} if self.case is None else {"case": self.case}
        if self.landmarks is not None:
            found["landmarks"] = slide_files.landmark_file(self.files, self.landmarks, self.slide_node)
        return found

    def _outputs(self, slide: Path) -> dict[str, Path]:
        pictured = suffix_of(slide) not in OUTLINES_ALONE
        names = {"transform": "transform.h5", "registration": "registration.json", "dice": "dice.csv", "labels": "labels.seg.nrrd"}
        if self.options.get("deformable"):
            names["warp"] = "warp.h5"
        if self.wants_fused and pictured:
            names["fused"] = "fused.nrrd"
        pyramid = {"fused_slide": Path(self.fused_slide)} if self.fused_slide is not None and pictured else {}
        return {port: self.files.path(name) for port, name in names.items()} | pyramid

    def _state_mpp(self) -> None:
        """A picture that came without its file says by its spacing how large its pixels are."""
        node = self.slide_node
        if node is not None and not self.options.get("mpp_um") and slides.path_of(node) is None:
            mpp = slides.mpp_of(node)
            if mpp is not None:
                self.options["mpp_um"] = float(np.mean(mpp))

    def _placed(self, slide: Path) -> Path:
        """Where the slide lies now, as a file: slice and flip are those it has there. Its registration's report lies beside it: what that
        left open, the score leaves open too.

        The engine takes one pixel size for both directions, and the file is for that one.
        """
        mpp = mpp_under(self.placed)
        self.options |= {"slice": -1, "orientation": "auto"}
        path = self.files.path("placed") / "transform.h5"
        path.parent.mkdir()
        if facts := RegistrationResults(self.placed).facts:
            (path.parent / REPORT).write_text(json.dumps(facts), encoding="ascii")
        used = read_mpp(path, slide)
        if used is None or not np.allclose(used, mpp.mean()):
            self.options["mpp_um"] = float(mpp.mean())
        transforms.write_linear(path, matrix_of(self.placed) @ np.diag([*(mpp / mpp.mean()), 1.0, 1.0]))
        return path

    def _needed(self) -> tuple[Any, ...]:
        return (self.source,) if self.slide_node is None else (self.source, self.slide_node)

    def _read(self, outcome: Outcome) -> dict[str, Any]:
        out = outcome.outputs
        facts = json.loads(Path(out["registration"]).read_text(encoding="ascii"))
        new = isinstance(self.slide, (str, Path)) and suffix_of(Path(self.slide)) not in OUTLINES_ALONE
        return {
            "facts": facts,
            "matrix": transforms.read_linear(out["transform"]),
            "dice": tables.read_csv(Path(out["dice"])),
            "labels": load_labels(out["labels"]) if "labels" in out else None,
            "fused": load_colour(out["fused"]) if "fused" in out else None,
            "warp": transforms.read_warp(out["warp"]) if "warp" in out else None,
            "picture": slides.read_picture(self.slide, tuple(facts["mpp"]["used_um"])) if new else None,
        }

    def _show(self, read: Mapping[str, Any], outcome: Outcome) -> RegistrationResults:
        """What is new is added first: only then does a slide that was there before move."""
        scene, name, mri = self.source.GetScene(), self._name(), self.source.GetName()
        columns, rows = read["dice"]
        transform = add_linear(scene, read["matrix"], f"{name} to {mri}")
        made = {
            LABELS: self._labels(read["labels"], f"{name} outlines"),
            TABLE: tables.add_table(scene, columns, rows, f"{name} Dice", self.task),
            FUSED: None if read["fused"] is None else add_node(scene, read["fused"], f"{name} fused with {mri}"),
            WARP: None if read["warp"] is None else add_grid(scene, read["warp"], f"{name} warp"),
            SLIDE: None if read["picture"] is None else slides.add_slide(scene, read["picture"], name),
        }
        self._describe(transform, {role: node for role, node in made.items() if node is not None}, read["facts"], outcome)
        self._hang(made[SLIDE] or self.slide_node, transform, made[WARP], read["facts"])
        return RegistrationResults(transform)

    def _name(self) -> str:
        return stem_of(Path(self.slide)) if isinstance(self.slide, (str, Path)) else str(self.slide.GetName())

    def _labels(self, labels: Any, name: str) -> Any:
        if labels is None:
            return None
        node = add_segmentation(self.source.GetScene(), labels, name, segments_of(labels))
        if self.source.GetParentTransformNode() is None:
            node.SetReferenceImageGeometryParameterFromVolumeNode(self.source)
        return node

    def _describe(self, transform: Any, made: Mapping[str, Any], facts: Mapping[str, Any], outcome: Outcome) -> None:
        report = {**outcome.report, "seconds": round(outcome.seconds, 2), "warnings": [*outcome.warnings, *self.warnings]}
        describe(transform, self.source, task=self.task, report=report, provenance=json.dumps(facts, indent=2))
        own = {name: facts[name] for name in (SLICE, "grade", "dice")} | {"orientation": facts["orientation"]["chosen"]}
        attributes.write(transform, own)
        for role, node in made.items():
            transform.SetNodeReferenceID(role, node.GetID())
            describe(node, self.source, task=self.task, report={"method": facts["method"]})

    def _hang(self, slide: Any, transform: Any, warp: Any, facts: Mapping[str, Any]) -> None:
        """The slide below its transform, that below the warp; hands turn the slide about its middle, or the gland's without a picture."""
        mpp = facts["mpp"]["used_um"]
        gland = [facts["outlines"][0][f"centroid_{axis}_mm"] for axis in "lps"]
        centre = (np.linalg.inv(facts["slide_to_patient"]) @ (*gland, 1.0))[:2]
        if warp is not None:
            transform.SetAndObserveTransformNodeID(warp.GetID())
        if slide is not None:
            slides.set_mpp(slide, mpp, grid_from_node(self.source).spacing_mm[2])
            centre = slides.centre_mm(slide)
            transform.SetNodeReferenceID(SLIDE, slide.GetID())
            slide.SetAndObserveTransformNodeID(transform.GetID())
        describe_slide(transform, centre, mpp)
