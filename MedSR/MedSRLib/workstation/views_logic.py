"""What the views show: the chosen original and its result, in linked planes, with one window for both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trame_server.utils.asynchronous import get_event_loop
from trame_slicer.app.logic import BaseLogic
from trame_slicer.core import LayoutManager, SlicerApp
from trame_slicer.rca_view import register_rca_factories
from undo_stack import Signal
from vtkmodules.vtkCommonCore import vtkCommand

from ..scene.fidelity import full_scale
from ..scene.nodes import set_node
from ..scene.nudge import nudged
from . import layouts
from .cursor import LinkedCursor, value_at
from .entries import SLIDE, Entry
from .focus import centre_ras, meeting_point, show_around, show_region, show_slices, show_whole
from .grey import GreyValues
from .linked import LinkedPair
from .panels import PANELS
from .planes import directions, in_plane_orientation, plane_size_mm
from .preview import slice_step_mm
from .result_card import model_of
from .slice_view_ui import create_slice_view_ui, slice_view_state
from .slide_overlay import SlideOverlay, slice_at
from .theme import ORIGINAL_COLOR, RESULT_COLOR
from .views_ui import ViewsState, ViewsUI

FIT_DELAY_S = 0.05
MODE_ICONS = {"Coronal": "mdi-axis-x-rotate-clockwise", "Sagittal": "mdi-axis-y-rotate-clockwise", "Axial": "mdi-axis-z-rotate-clockwise"}


class ViewsLogic(BaseLogic[ViewsState]):
    """Owns the slice views. `show` and `look_at` are its whole interface for the other logics.

    Emits `zoomed` with whether a region fills the views.
    """

    zoomed = Signal(bool)

    def __init__(self, server, slicer_app: SlicerApp) -> None:
        super().__init__(server, slicer_app, ViewsState)
        self._original: Entry | None = None
        self._result: Entry | None = None
        self._pairs: dict[str, LinkedPair] = {}
        self._acquired = "Axial"
        self._to_fit: set[str] = set()
        self._seen: set[str] = set()
        self._grey = GreyValues(self.data)
        self._slide = SlideOverlay(slicer_app.scene)
        self._place: Sequence[float] | None = None
        self._cursor = LinkedCursor(slicer_app.scene, self._probe)
        register_rca_factories(slicer_app.view_manager, server, slice_view_ui_f=create_slice_view_ui, rca_encoder="jpeg", target_fps=20)
        self.layout_manager = LayoutManager(slicer_app.scene, slicer_app.view_manager, server)
        self.layout_manager.current_layout_changed.connect(self._prepare_views)
        name = self.name
        answers: dict[Any, Callable[[Any], None]] = {
            name.mode: lambda _mode: self._arrange(),
            name.window: lambda window: self._grey.apply(*window),
            name.smooth: lambda _on: self._grey.smooth(),
            name.overlay: lambda _on: self._apply_overlay(),
            name.opacity: lambda _value: self._apply_overlay(),
            name.slide_opacity: lambda _value: self._apply_overlay(),
            name.squares: lambda _on: self._apply_overlay(),
            name.frame: self._show_frame,
            name.cursor: self._cursor.turn,
            name.zoomed: lambda _on: self.fit(),
        }
        self.bind_changes(answers)

    def set_ui(self, ui: ViewsUI) -> None:
        ui.reset_clicked.connect(self.fit)
        ui.auto_window_clicked.connect(self._grey.auto)
        ui.own_window_clicked.connect(self._grey.own)
        ui.lung_window_clicked.connect(self._grey.lung)

    @property
    def shown(self) -> tuple[Entry | None, Entry | None]:
        return self._original, self._result

    def show(self, original: Entry | None, result: Entry | None = None) -> None:
        """Show a loaded volume, and one of its results beside it."""
        is_new = original is not self._original
        self._original, self._result = original, result
        data = self.data
        data.has_volume, data.has_result = original is not None, result is not None
        data.has_fidelity = bool(result and result.fidelity)
        data.overlay = data.overlay and data.has_fidelity
        data.has_region = bool(result and (result.is_region or result.registration))
        if result is not None:
            data.map_title, data.map_hint = PANELS[result.task].map_title, PANELS[result.task].map_hint
        data.frames, data.frame = (len(original.frames) if original else 1), 1
        if original is None:
            self._grey.show(None, None)
            self._slide.show(None)
            return
        if is_new:
            self._place = None
            self._acquired = "Axial" if original.kind == SLIDE else in_plane_orientation(original.node)
            self._offer_modes()
        is_slide = original.kind == SLIDE  # it has its own colours
        self._grey.show(None if is_slide else original, None if is_slide else result)
        self._slide.show(result)
        data.has_slide = self._slide.picture(in_squares=False) is not None
        self._place = self._slide.place or self._place
        self._show_frame(1)
        self._choose_mode()
        self._arrange()

    def _choose_mode(self) -> None:
        """A new result is first shown as large as can be where one plane tells all."""
        result = self._result
        if result is not None and result.id not in self._seen:
            self._seen.add(result.id)
            data, in_plane = self.data, PANELS[result.task].in_plane
            data.mode = self._acquired.lower() if in_plane and data.mode == "four" else data.mode

    @property
    def _mode(self) -> str:
        """A slide has one plane only."""
        is_slide = self._original is not None and self._original.kind == SLIDE
        return self._acquired.lower() if is_slide else self.data.mode

    @property
    def _across(self) -> tuple[str, str]:
        """The two planes across the acquired slices."""
        first, second = (o for o in layouts.ORIENTATIONS if o != self._acquired)
        return first, second

    @property
    def _planes(self) -> tuple[str, str]:
        """The two planes in which a result is compared, where there is room for two."""
        in_plane = self._result is not None and PANELS[self._result.task].in_plane
        return (self._acquired, self._across[0]) if in_plane else self._across

    @property
    def _legend_plane(self) -> str:
        """One legend is enough: in the upper view where there are two."""
        return self._planes[0] if self.data.mode == "four" else self.data.mode.capitalize()

    def _offer_modes(self) -> None:
        if self._original is not None and self._original.kind == SLIDE:
            self.data.modes = []
            return
        order = (*self._across, self._acquired)
        modes = [{"value": o.lower(), "title": o, "icon": MODE_ICONS[o]} for o in order]
        self.data.modes = [{"value": "four", "title": "All", "icon": "mdi-view-grid-outline"}, *modes]

    def _arrange(self) -> None:
        """Choose the layout for the mode; views that are new in it are filled by `_prepare_views`."""
        if self._original is None:
            return
        mode, has_result = self._mode, self._result is not None
        if mode == "four":
            layout = layouts.four_up(self._planes if has_result else self._across, self._acquired, has_result)
        else:
            orientation = mode.capitalize()
            layout = layouts.compare(orientation, has_result, plane_size_mm(self._original.node, orientation))
        layout_id = f"{mode}-{has_result}-{layout.direction.name}-{self._acquired}-{'-'.join(self._planes)}"
        if not self.layout_manager.has_layout(layout_id):
            self.layout_manager.register_layout(layout_id, layout, lazy_initialization=True)
        self.layout_manager.set_layout(layout_id)
        self._prepare_views()

    def _views(self) -> list[tuple[str, str, Any]]:
        manager = self._slicer_app.view_manager
        found = [(s, o, manager.get_view(layouts.tag(s, o))) for s in layouts.SIDES for o in layouts.ORIENTATIONS]
        return [(side, orientation, view) for side, orientation, view in found if view is not None]

    def _prepare_views(self, *_layout_id) -> None:
        """Fill each view, once; link the two of each plane; caption them."""
        for side, orientation, view in self._views():
            if not hasattr(view, "medsr_ready"):
                view.medsr_ready = True
                view.render_window().SetMultiSamples(0)  # pictures have no edges to smooth; software GL would pay eightfold
                view.interactor().AddObserver(vtkCommand.WindowResizeEvent, lambda *_, o=orientation: self._fit_soon(o))
                view.modified.connect(self._caption_directions)
                self._cursor.watch(view)
            entry = self._original if side == "Original" else self._result
            node = self._slide.mri if side == "Result" and self._slide.mri else entry and entry.node
            view.set_background_volume_id(node.GetID() if node else None)
            _draw_image_first(view)
            self._caption(view, side, orientation, entry)
        self._link_views()
        self._apply_overlay()
        self.fit()

    def _link_views(self) -> None:
        views = {(side, orientation): view for side, orientation, view in self._views()}
        for orientation in layouts.ORIENTATIONS:
            pair = [views.get((side, orientation)) for side in layouts.SIDES]
            if all(pair) and orientation not in self._pairs:
                self._pairs[orientation] = LinkedPair(*pair)

    def here(self) -> Sequence[float] | None:
        """RAS mm of the cursor while it is on and was moved, else of where the original's views meet; None without an image."""
        if self._original is None:
            return None
        shown = {o: v for side, o, v in self._views() if side == "Original" and o in self._shown_planes}
        return self._cursor.place if self.data.cursor and self._cursor.place is not None else meeting_point(shown)

    def slice_shown(self) -> int:
        """The slice of the original that is looked at."""
        place = self.here()
        return 0 if place is None or self._original is None else slice_at(self._original.node, place)

    def show_moved(self) -> None:
        """The slide was moved by hand."""
        for side, orientation, view in self._views():
            self._caption(view, side, orientation, self._original if side == "Original" else self._result)
        self._apply_overlay()

    @property
    def _shown_planes(self) -> tuple[str, ...]:
        """The planes of the original in the current layout, the acquired one first."""
        if self._mode != "four":
            return (self._mode.capitalize(),)
        return self._planes if self._result is not None else (self._acquired, *self._across)

    def look_at(self, place: Sequence[float]) -> None:
        """Let all views of the whole original pass through a place, RAS mm."""
        self._place = place
        self.fit()

    @property
    def _is_zoomed(self) -> bool:
        return bool(self._result and self._result.is_region and self.data.zoomed)

    def fit(self) -> None:
        """Show the region of the result in each view, or the whole original where there is none."""
        self.zoomed.emit(self._is_zoomed)
        for orientation in layouts.ORIENTATIONS:
            self._fit_plane(orientation)

    def _fit_soon(self, orientation: str) -> None:
        """A view knows its size only after the browser told it, and both views of a pair change: fit once, after that."""
        if orientation not in self._to_fit:
            self._to_fit.add(orientation)
            get_event_loop().call_later(FIT_DELAY_S, self._fit_waiting)

    def _fit_waiting(self) -> None:
        waiting, self._to_fit = self._to_fit, set()
        with self.state:
            for orientation in waiting:
                self._fit_plane(orientation)

    def _fit_plane(self, orientation: str) -> None:
        """Fit the original's view; its link carries plane and scale to the result's."""
        if self._original is None:
            return
        view = self._slicer_app.view_manager.get_view(layouts.tag("Original", orientation))
        if view is None:
            return
        with view.trigger_modified_once():
            show_whole(view, centre_ras(self._original.node) if self._place is None else self._place)
            if self._slide.mri is not None and self._place is not None:
                show_slices(view, self._slide.mri, self._place)
                if self.data.zoomed and self._slide.side_mm > 0:
                    show_around(view, self._place, self._slide.side_mm)
            if self._result is not None and self._is_zoomed:
                show_region(view, self._result.node)
        if orientation in self._pairs:
            self._pairs[orientation].align()

    def _caption(self, view, side: str, orientation: str, entry: Entry | None) -> None:
        texts = slice_view_state(self.server, view).data
        name = "Slide on MRI" if side == "Result" and self._slide.mri else side
        texts.title, texts.color = f"{name} · {orientation.lower()}", ORIGINAL_COLOR if side == "Original" else RESULT_COLOR
        if entry is not None and (entry.kind == SLIDE or entry.registration is not None):
            moved = entry.registration is not None and nudged(entry.registration.transform)
            texts.detail, texts.warning = f"{entry.name}, {entry.spacing_text}", "moved by hand since" if moved else ""
        elif entry is not None and self._original is not None:
            method = "as acquired" if side == "Original" else str(entry.report.get("method") or entry.name)
            step = slice_step_mm(entry.frames[0], self._original.frames[0])
            pixels = f"pixels of {entry.frames[0].spacing_mm[0]:.3g} mm, " if self._is_finer else ""
            texts.detail = f"{method}, {pixels}slices every {step:.3g} mm"
            texts.warning = "detail invented by the model" if side == "Result" and model_of(entry.report) else ""

    @property
    def _is_finer(self) -> bool:
        """Whether the result's pixels are other than the original's."""
        return bool(self._original and self._result and self._result.frames[0].spacing_mm[:2] != self._original.frames[0].spacing_mm[:2])

    def _caption_directions(self, view) -> None:
        texts = slice_view_state(self.server, view).data
        texts.left, texts.right, texts.bottom, texts.top = directions(view.get_view_node())
        texts.position = f"{view.get_slice_value():.1f} mm"

    def _probe(self, ras) -> None:
        """Say the values under the cursor."""
        nodes = {"original": self._original and self._original.node, "result": self._result and self._result.node}
        nodes["expected error"] = self._result and self._result.fidelity_node
        values = {name: value_at(node, ras) for name, node in nodes.items() if node}
        with self.state:
            self.data.probe = " · ".join(f"{name} {value:.4g}" for name, value in values.items() if value is not None)

    def _show_frame(self, frame: int) -> None:
        """Put a time point's voxels into the nodes; the geometry of all time points is one."""
        for entry in (self._original, self._result):
            if entry is None:
                continue
            index = min(max(int(frame), 1), len(entry.frames)) - 1
            if entry.shown_frame != index:
                entry.shown_frame = index
                set_node(entry.node, entry.frames[index])
                if entry.fidelity_node:
                    set_node(entry.fidelity_node, entry.fidelity[index])

    def _apply_overlay(self) -> None:
        on = self._result if self.data.overlay and self._result and self._result.fidelity_node else None
        text = ""
        if on and self._original:
            text = f"{full_scale(on.fidelity[0].array):.3g} {self._grey.unit or 'image units'}"
        slide = self._slide.picture(bool(self.data.squares))
        for side, orientation, view in self._views():
            if side == "Result":
                over = on.fidelity_node if on else slide
                opacity = self.data.opacity if on else 100.0 if self.data.squares else self.data.slide_opacity
                view.set_foreground_volume_id(over.GetID() if over else None)
                view.set_foreground_opacity(float(opacity) / 100 if over else 0.0)
                slice_view_state(self.server, view).data.legend_max = text if orientation == self._legend_plane else ""


def _draw_image_first(view) -> None:
    """A segmentation that was there before the view's image would hide it: VTK draws 2-D actors of one depth in their order."""
    renderer, image = view.first_renderer(), view._render_manager.image_actor
    props = renderer.GetViewProps()
    others = [prop for i in range(props.GetNumberOfItems()) if (prop := props.GetItemAsObject(i)) is not image]
    if renderer.HasViewProp(image) and props.GetItemAsObject(0) is not image:
        for prop in others:
            renderer.RemoveViewProp(prop)
            renderer.AddViewProp(prop)
