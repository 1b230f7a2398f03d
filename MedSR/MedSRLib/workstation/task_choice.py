"""Which task the panel shows for an image, what its form offers, and what a click would give."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import MedSRError
from ..scene.routing import CT, route
from .cards import fitting
from .entries import SLIDE, Entry
from .form import OptionsForm
from .panels import PANELS, Panel

ANY = "any_modality"
"""The option that takes an image as it is, whatever the cards say."""

REGISTRATION = "register_slide"
LAID = "A slide, or its outlines, are laid on one of its slices."
ON_AN_MRI = "A slide is laid on an MRI: choose that in the list, or open it."


class TaskChoice:
    """The forms of all tasks, by name, and the one that is chosen for the shown image.

    sentences: of the tasks whose plan needs more than the image and its options, instead of their panel's.
    """

    def __init__(self, forms: Mapping[str, OptionsForm], sentences: Mapping[str, Callable[[Entry, Mapping[str, Any]], str]]) -> None:
        self._forms, self._sentences = forms, sentences
        self._stood_in: set[str] = set()
        self._pace: dict[tuple[Any, ...], float] = {}
        self.original: Entry | None = None
        self.task = next(iter(forms))
        self.why = self.no_model = ""

    @property
    def panel(self) -> Panel:
        return PANELS[self.task]

    @property
    def said_why(self) -> str:
        """Why the chosen task serves the shown image."""
        is_registered = self.task == REGISTRATION and self.original is not None and self.original.kind != SLIDE
        return LAID if is_registered else self.why

    @property
    def form(self) -> OptionsForm:
        return self._forms[self.task]

    def show(self, original: Entry | None, has_slide: bool) -> None:
        """Take the task that serves another image, or the one that was chosen for it before. has_slide: whether a slide is open."""
        self.original = original
        if original is not None and original.kind == SLIDE:
            self.why = ON_AN_MRI
            self._take(original.task)
        elif original is not None:
            found = route(original.node)
            self.why = found.why
            fitting = REGISTRATION if has_slide and found.task != CT else found.task
            self._take(original.task or fitting or self.task)

    def choose(self, task: str) -> None:
        """The user takes this task for the shown image, now and when it is shown again."""
        if self.original is not None:
            self.original.task = task
        self._take(task)

    def _take(self, task: str) -> None:
        """Show a task, and offer the models that fit the shown image."""
        self.task = task
        self.offer_models()

    def offer_models(self) -> None:
        """Offer the models that fit the shown image, or all where the user takes any modality."""
        if self.original is None:
            return
        if not self.form.has("model"):
            self.no_model = ""
            return
        is_any = self.form.has(ANY) and bool(self.form.get(ANY))
        pairs, self.no_model = fitting(self.task, self.original.node, is_any)
        self.form.offer("model", pairs)
        self._stand_in(has_model=bool(pairs))

    def _stand_in(self, has_model: bool) -> None:
        """Where no model fits, take what needs none; take it back for an image that one fits."""
        for name, instead in self.panel.without_model.items():
            default = self.form.default(name)
            if not has_model and self.form.get(name) == default:
                self.form.set(name, instead)
                self._stood_in.add(self.task)
            elif has_model and self.task in self._stood_in and self.form.get(name) == instead:
                self.form.set(name, default)
        if has_model:
            self._stood_in.discard(self.task)

    def plan(self) -> tuple[str, bool, dict[str, str]]:
        """(what a click would give or why it would be refused, whether it makes sense, texts of the empty fields)."""
        if self.original is None:
            return "", False, {}
        try:
            values = self.form.values()
            texts = self.panel.unset_texts(self.original, values)
            if self.task in self._sentences:
                return self._sentences[self.task](self.original, values), True, texts
            return self.panel.sentence(self.original, values, self._pace.get(_kind(self.task, values))), True, texts
        except MedSRError as error:
            return error.sentence(), False, self.panel.unset_texts(self.original, self.form.defaults())

    def learn(self, entry: Entry, options: Mapping[str, Any]) -> None:
        """A result tells how long the next one of its kind takes; a registration's time has little to do with voxels."""
        if entry.registration is not None:
            return
        voxels = math.prod(entry.frames[0].shape) * len(entry.frames)
        if entry.report.get("seconds"):
            self._pace[_kind(entry.task, options)] = float(entry.report["seconds"]) / voxels


def _kind(task: str, options: Mapping[str, Any]) -> tuple[Any, ...]:
    """Jobs that take the same time a voxel."""
    return task, *(options.get(name) for name in ("method", "model", "region", "device", "self_ensemble"))
