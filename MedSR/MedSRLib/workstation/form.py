"""A form made from a task's Options: the same words, units, choices and limits as on every other door."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trame.widgets import html
from trame.widgets import vuetify3 as v3

from ..errors import label_of
from ..tasks import load
from ..tasks.options import from_dict, help_of, zero_means_unset


class OptionsForm:
    """One task's form. The fields live in the state as "option_<task>_<field>".

    A number whose 0 stands for "not given" is left empty for that, and says in its place what then happens (`say_unset`).
    offered: text fields without choices of their own (the model), of which `offer` says later what there is to choose from.
    own: by field, what builds its widgets instead of this form; called with the JavaScript expression of `build`.
    """

    def __init__(self, server, task: str, offered: Sequence[str] = (), own: Mapping[str, Callable[[str], None]] | None = None) -> None:
        self._state, self.task, self._offered, self._own = server.state, task, offered, own or {}
        self._options = load(task).Options
        for field in dataclasses.fields(self._options):
            self._state.setdefault(self.key(field.name), "" if zero_means_unset(field) else field.default)
            self._state.setdefault(self._unset_key(field.name), "")
        for name in offered:
            self._state.setdefault(self._offer_key(name), [])

    def key(self, field_name: str) -> str:
        """The state's name of one field."""
        return f"option_{self.task}_{field_name}"

    def _unset_key(self, field_name: str) -> str:
        return f"unset_{self.task}_{field_name}"

    def _offer_key(self, field_name: str) -> str:
        return f"offer_{self.task}_{field_name}"

    def has(self, field_name: str) -> bool:
        """Whether the task has such an option."""
        return field_name in {f.name for f in dataclasses.fields(self._options)}

    def get(self, field_name: str) -> Any:
        """What stands in one field."""
        return self._state[self.key(field_name)]

    def set(self, field_name: str, value: Any) -> None:
        """Fill one field."""
        self._state[self.key(field_name)] = value

    def default(self, field_name: str) -> Any:
        """What a field holds before anybody chose."""
        return next(f.default for f in dataclasses.fields(self._options) if f.name == field_name)

    def defaults(self) -> dict[str, Any]:
        """All options as they are before anybody chose."""
        return {f.name: f.default for f in dataclasses.fields(self._options)}

    def offer(self, field_name: str, pairs: Sequence[tuple[str, str]]) -> None:
        """Offer (value, title) pairs; a choice that is no longer offered gives way to the first one."""
        self._state[self._offer_key(field_name)] = [{"value": value, "title": title} for value, title in pairs]
        values = [value for value, _ in pairs]
        if self.get(field_name) not in values:
            self.set(field_name, values[0] if values else "")

    def say_unset(self, texts: dict[str, str]) -> None:
        """What happens where a field is left empty, by its name; the fields that are not named say nothing."""
        for field in dataclasses.fields(self._options):
            self._state[self._unset_key(field.name)] = texts.get(field.name, "")

    @property
    def keys(self) -> list[str]:
        """The state's names of all fields."""
        return [self.key(f.name) for f in dataclasses.fields(self._options)]

    def values(self) -> dict[str, Any]:
        """What the user chose, checked. Raises OptionError for a value out of its limits or not a number."""
        found = {f.name: _typed(self._state[self.key(f.name)], f.default) for f in dataclasses.fields(self._options)}
        from_dict(self._options, found)
        return found

    def build(self, disabled: str) -> None:
        """The plain fields, then the advanced ones under a heading that opens. disabled: a JavaScript expression."""
        fields = dataclasses.fields(self._options)
        with html.Div(classes="medsr-form"):
            for field in fields:
                if not field.metadata["advanced"]:
                    self._widget(field, disabled)
        advanced = [f for f in fields if f.metadata["advanced"]]
        if not advanced:
            return
        with v3.VExpansionPanels(variant="accordion", flat=True, classes="mb-2"), v3.VExpansionPanel(bg_color="transparent", elevation=0):
            v3.VExpansionPanelTitle("Advanced", classes="px-0 medsr-advanced", id=f"advanced-{self.task}")
            with v3.VExpansionPanelText(classes="medsr-advanced-text"), html.Div(classes="medsr-form"):
                for field in advanced:
                    self._widget(field, disabled)

    def _widget(self, field: dataclasses.Field, disabled: str) -> None:
        if field.name in self._own:
            with html.Div(classes="medsr-field medsr-wide"):
                self._own[field.name](disabled)
            return
        key, meta = self.key(field.name), field.metadata
        common = {"v_model": (key,), "label": label_of(field.name), "disabled": (disabled,), "id": key, "hide_details": True}
        is_wide = isinstance(field.default, (bool, tuple)) or (field.default == "" and not meta["choices"])
        with html.Div(classes="medsr-field medsr-wide" if is_wide else "medsr-field"):
            if isinstance(field.default, bool):
                v3.VSwitch(**common)
            elif field.name in self._offered:
                v3.VSelect(items=(self._offer_key(field.name),), no_data_text="None fits this image", **common)
            elif meta["choices"]:
                v3.VSelect(items=(str([{"value": c, "title": c} for c in meta["choices"]]),), **common)
            elif isinstance(field.default, (int, float)):
                self._number(field, common)
            else:
                v3.VTextField(**common)
            v3.VTooltip(help_of(field, "left empty"), activator="parent", location="end", max_width=280, open_delay=400)

    def _number(self, field: dataclasses.Field, common: dict[str, Any]) -> None:
        key, meta = self.key(field.name), field.metadata
        limits = {name: meta[limit] for name, limit in (("min", "minimum"), ("max", "maximum")) if meta[limit] is not None}
        step = 1 if isinstance(field.default, int) else "any"
        unset: dict[str, Any] = {"suffix": meta["unit"]}
        if zero_means_unset(field):
            empty = f"Number({key}) || ({key} = '')"  # on leaving the field: while 0.5 is typed, 0 stands there too
            unset = {"suffix": (f"{key} ? '{meta['unit']}' : ''",), "placeholder": (self._unset_key(field.name),), "blur": empty}
            unset |= {"persistent_placeholder": True, "__events": ["blur"]}
        v3.VTextField(type="number", step=step, **unset, **limits, **common)


def _typed(value: Any, default: Any) -> Any:
    """A form's text as the type of the field's default; what is not a number stays text, and is refused by its name."""
    if isinstance(default, bool):
        return bool(value)
    if isinstance(default, (int, float)):
        try:
            return type(default)(float(value)) if value not in ("", None) else default
        except (TypeError, ValueError):
            return value
    return tuple(value) if isinstance(default, tuple) else str(value or "")
