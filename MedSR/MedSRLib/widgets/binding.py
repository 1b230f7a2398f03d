"""Parameters and the widgets that show them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import vtk


class Binding:
    """Keeps widgets and parameters equal until it is closed. changed: called when a parameter was changed."""

    def __init__(self, parameters: Any, widgets: Iterable[Any], changed: Callable[..., Any]) -> None:
        self._parameters = parameters
        # Slicer's own connectGui finds them too, but returns no tag, so that they could never be disconnected.
        named = {widget.property("SlicerParameterName"): widget for widget in widgets}
        self._gui = parameters.connectParametersToGui({name: widget for name, widget in named.items() if name})
        self._tag = parameters.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, changed)

    def close(self) -> None:
        """From now on neither follows the other."""
        self._parameters.disconnectGui(self._gui)
        self._parameters.parameterNode.RemoveObserver(self._tag)
