"""The page's colours: one place for Vuetify and the views."""

from __future__ import annotations

VUETIFY = {
    "theme": {
        "defaultTheme": "medsr",
        "themes": {
            "medsr": {
                "dark": True,
                "colors": {
                    "background": "#0b0f14",
                    "surface": "#121922",
                    "surface-light": "#1b2531",
                    "surface-variant": "#22303e",
                    "on-surface-variant": "#c9d6e2",
                    "primary": "#26b5c9",
                    "on-primary": "#04161a",
                    "secondary": "#ffb74d",
                    "success": "#66bb6a",
                    "warning": "#ffb74d",
                    "error": "#ef6b6b",
                    "info": "#6fb7ff",
                },
            }
        },
    },
    "defaults": {
        "VTextField": {"variant": "outlined", "density": "compact", "color": "primary"},
        "VSelect": {"variant": "outlined", "density": "compact", "color": "primary"},
        "VSwitch": {"density": "compact", "color": "primary", "inset": True},
        "VBtn": {"style": "text-transform: none; letter-spacing: .01em;"},
    },
}

ORIGINAL_COLOR = "#9fb3c8"
RESULT_COLOR = "#4dd0e1"
