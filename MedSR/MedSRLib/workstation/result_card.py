"""What the page says of a result: its figures, why it was made so, what to beware of, and its downloads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .downloads import DICOM_ZIP
from .entries import Entry
from .panels import PANELS
from .slide_card import slide_card

INVENTED = "Detail here is invented by the model, not acquired. Research software, not for diagnosis."


def result_card(entry: Entry, original: Entry) -> dict[str, Any]:
    """The card of a result; DICOM is derived from DICOM only."""
    if entry.registration is not None:
        return slide_card(entry)
    report, panel = entry.report, PANELS[entry.task]
    facts = {
        "Size": entry.size_text,
        "Spacing": entry.spacing_text,
        "Method": " · ".join(str(part) for part in (report.get("method"), model_of(report)) if part),
        **panel.facts(report),
        "Time": f"{float(report['seconds']):.1f} s" if report.get("seconds") is not None else "",
    }
    return {
        "name": entry.name,
        "facts": [{"label": k, "value": v} for k, v in facts.items() if v],
        "why": _sentence(str(report.get("why") or ""), model_of(report)),
        "invented": INVENTED if model_of(report) else "",
        "warnings": [str(text) for text in report.get("warnings") or ()],
        "links": _links(entry, original, panel.map_title),
    }


def model_of(report: Mapping[str, Any]) -> str:
    """The identifier of the model that a result was made with; "" where none was."""
    model = report.get("model")
    return str(model.get("id", "")) if isinstance(model, Mapping) else str(model or "")


def _links(entry: Entry, original: Entry, map_title: str) -> list[dict[str, str]]:
    links = [("volume.nrrd", "NRRD"), ("volume.nii.gz", "NIfTI")]
    links += [(f"volume.{DICOM_ZIP}", "DICOM (zip)")] if original.is_dicom else []
    links += [("fidelity.nrrd", map_title)] if entry.fidelity else []
    links += [("segmentation.nrrd", "Segmentation")] if "segmentation" in entry.outputs else []
    links += [("provenance", "Provenance")]
    return [{"id": what.replace(".", "-"), "title": title, "url": f"download/{entry.id}/{what}"} for what, title in links]


def _sentence(text: str, name: str) -> str:
    """A clause as a sentence; one that begins with a model's name keeps that as it is."""
    begun = text if name and text.startswith(name) else text[:1].upper() + text[1:]
    return begun + ("" if text.endswith(".") else ".") if text else ""
