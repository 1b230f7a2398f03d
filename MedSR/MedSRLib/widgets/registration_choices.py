"""The registration's options on its page, and what their choices are called."""

from __future__ import annotations

from slicer.i18n import tr as _

OPTION_NAMES = (
    "method", "slice", "slide_slice", "mpp_um", "orientation", "rotation_deg", "gland", "deformable", "landmarks_as", "opacity",
    "fused_um", "accept_any",
)  # fmt: skip
"""Options of register_slide but for `transform_as`, which two buttons stand for."""
WORDS = {
    "methodComboBox": {
        "auto": _("By what there is: pictures, masks"),
        "pictures": _("What both pictures show"),
        "features": _("Learned features, then what both pictures show"),
        "mask": _("Gland outlines"),
    },
    "orientationComboBox": {
        "auto": _("to be found out"),
        "r0": _("as the MRI is seen"),
        "r90": _("turned by 90° clockwise"),
        "r180": _("turned by 180°"),
        "r270": _("turned by 90° counter-clockwise"),
        "f0": _("mirrored left to right"),
        "f90": _("mirrored, then turned by 90° clockwise"),
        "f180": _("mirrored, then turned by 180°"),
        "f270": _("mirrored, then turned by 90° counter-clockwise"),
    },
    "landmarksComboBox": {"start": _("a start"), "correction": _("a correction of the result")},
}
"""What the choices are called, in the order of the options'."""
