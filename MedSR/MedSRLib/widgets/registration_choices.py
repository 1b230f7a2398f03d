"""What the choices of a registration's options are called on its page."""

from __future__ import annotations

from slicer.i18n import tr as _

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
"""By list on the page: {choice: its words}, in the order of the option's choices."""
