"""What the page says of each task beside what the task says of itself; everything else is one code path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..tasks import load
from ..tasks.options import Port
from . import preview, preview_ct
from .entries import Entry

ORIGINAL_PORTS = ("volume", "mri", "reference")
RESULT_PORTS = ("result", "registration")
"""What an evaluation calls its input that is the original, or its result; the first that it has. Labels of an MRI are a "reference" too."""


@dataclass(frozen=True)
class Panel:
    """One task on the page.

    button: what the button that starts it says; short: in fewer words, where tasks are chosen.
    suffix: of a result's name. map_title: of its fidelity output.
    sentence: (original, options, seconds a voxel or None) → the plan in one sentence; raises MedSRError where there is none.
    unset_texts: (original, options) → what stands in empty fields. facts: report → {label: text} for the result's card.
    without_model: options that are taken where no model fits. derivation: what a derived DICOM says, "" for the writer's own words.
    evaluation: the task that measures it on the user's own image, "" for none; evaluate: what its button says.
    in_plane: whether the acquired plane shows what it does. own_inputs: whether the page asks for its other inputs in its own way.
    """

    task: str
    button: str
    short: str
    icon: str
    suffix: str
    map_title: str
    sentence: Callable[[Entry, Mapping[str, Any], float | None], str]
    unset_texts: Callable[[Entry, Mapping[str, Any]], dict[str, str]]
    facts: Callable[[Mapping[str, Any]], dict[str, str]] = lambda report: {}
    without_model: Mapping[str, Any] = field(default_factory=dict)
    derivation: str = ""
    evaluation: str = ""
    evaluate: str = "Evaluate on this volume"
    in_plane: bool = False
    own_inputs: bool = False

    @property
    def labels(self) -> Port | None:
        """The input beside the image: labels on its grid; None where the task takes none, or has a panel of its own for its inputs."""
        if self.own_inputs:
            return None
        return next((port for port in load(self.task).INPUTS if port.kind == "segmentation"), None)

    @property
    def labels_title(self) -> str:
        """What its field is called; labels that come back on the new grid are carried along, others are only read."""
        port = self.labels
        if port is None:
            return ""
        name = port.name.capitalize()
        return f"{name} to carry along" if port.name in self.output_names else name

    @property
    def result_port(self) -> str:
        """The evaluation's input that is the shown result; "" where it measures the methods on the image."""
        return next((name for name in RESULT_PORTS if name in self._evaluation_inputs), "")

    @property
    def original_port(self) -> str:
        """The evaluation's input that is the shown original."""
        return next((name for name in ORIGINAL_PORTS if name in self._evaluation_inputs), "")

    @property
    def evaluates_result(self) -> bool:
        """Whether the evaluation is of a result that is there, not of the methods on the image."""
        return bool(self.result_port)

    @property
    def _evaluation_inputs(self) -> tuple[str, ...]:
        return tuple(port.name for port in load(self.evaluation).INPUTS) if self.evaluation else ()

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(port.name for port in load(self.task).OUTPUTS)

    @property
    def map_hint(self) -> str:
        return next((port.help for port in load(self.task).OUTPUTS if port.name == "fidelity"), "")


UNSET_SLIDE = {"mpp_um": "what the file says", "fused_um": "2000 pixels"}
"""What stands in the empty fields of a registration."""
PANELS = {
    panel.task: panel
    for panel in (
        Panel(
            "super_resolve_ct",
            button="Super-resolve volume",
            short="Super-resolve",
            icon="mdi-magnify-plus-outline",
            suffix="super-resolved",
            map_title="Trust map",
            sentence=preview_ct.sentence,
            unset_texts=preview_ct.unset_texts,
            facts=preview_ct.facts,
            without_model={"method": "bicubic"},
            derivation=preview_ct.DERIVATION,
            evaluation="evaluate_ct",
            evaluate="Compare with the scan",
            in_plane=True,
        ),
        Panel(
            "interpolate_slices",
            button="Interpolate slices",
            short="Interpolate",
            icon="mdi-layers-plus",
            suffix="interpolated",
            map_title="Fidelity map",
            sentence=preview.sentence,
            unset_texts=preview.unset_texts,
            evaluation="evaluate_slices",
        ),
        Panel(
            "register_slide",
            button="Register slide to MRI",
            short="Register slide",
            icon="mdi-layers-search-outline",
            suffix="registered",
            map_title="",
            sentence=lambda original, options, pace: "",
            unset_texts=lambda original, options: UNSET_SLIDE,
            evaluation="evaluate_registration",
            evaluate="Evaluate this registration",
            in_plane=True,
            own_inputs=True,
        ),
    )
}
"""By task, in the order of the page."""
