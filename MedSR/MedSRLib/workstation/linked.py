"""Two slice views that always show the same place: scrolling, panning or zooming one moves the other."""

from __future__ import annotations

from trame_slicer.views import SliceView


class LinkedPair:
    """Copies plane, field of view and pan between an original's view and its result's, whatever their spacings.

    MRML's own hot link also moves hidden views of the group, and needs an interaction to begin; this needs neither.
    """

    def __init__(self, first: SliceView, second: SliceView) -> None:
        self._busy, self._first, self._second = False, first, second
        first.modified.connect(lambda _view: self.copy(first, second))
        second.modified.connect(lambda _view: self.copy(second, first))

    def align(self) -> None:
        """Make the second view show what the first one shows."""
        self.copy(self._first, self._second)

    def copy(self, source: SliceView, target: SliceView) -> None:
        """Make `target` show the plane and the scale of `source`; its own width and height stay."""
        if self._busy or not _has_size(source) or not _has_size(target):
            return
        self._busy = True
        try:
            _copy_plane(source.get_view_node(), target.get_view_node())
        finally:
            self._busy = False


def _has_size(view: SliceView) -> bool:
    return min(view.get_view_node().GetDimensions()[:2]) > 1


def _copy_plane(source, target) -> None:
    was_modifying = target.StartModify()
    target.GetSliceToRAS().DeepCopy(source.GetSliceToRAS())
    target.SetXYZOrigin(*source.GetXYZOrigin())
    width, height, _depth = target.GetDimensions()
    mm_per_pixel = source.GetFieldOfView()[1] / source.GetDimensions()[1]
    target.SetFieldOfView(mm_per_pixel * width, mm_per_pixel * height, target.GetFieldOfView()[2])
    target.UpdateMatrices()
    target.EndModify(was_modifying)
