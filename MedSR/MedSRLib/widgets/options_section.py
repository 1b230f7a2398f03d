"""The options of one task on a page: its .ui fragment, words for its methods, its models and their cards."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .. import models
from . import cards


class OptionsSection:
    """Shows the options that `parameters` holds; the fragment's other widgets are bound by the page.

    ui: holds methodComboBox, modelComboBox and cardBrowser. methods: {method: words}, in the order of the choices.
    learned: the methods that use a model. lacking: what the card says where there is no model.
    """

    def __init__(self, task: str, ui: Any, methods: Mapping[str, str], learned: Collection[str], lacking: str = cards.NO_MODEL) -> None:
        self.ui, self.methods, self._learned, self._lacking = ui, methods, learned, lacking
        self.cards: Sequence[Any] = ()
        self.parameters: Any = None
        self._card_text = ""
        self.ui.modelComboBox.connect("currentIndexChanged(int)", self._on_model)
        self.offer(models.of_task(task))

    def show(self, parameters: Any) -> None:
        """Show these parameters, which the page has bound; None for none."""
        self.parameters = parameters
        if parameters is not None:
            # The wrapper fills the list with the bare choices, and goes by their order.
            for index, words in enumerate(self.methods.values()):
                self.ui.methodComboBox.setItemText(index, words)

    def offer(self, found: Sequence[Any], lacking: str = "") -> None:
        """Offer these models, the first as the default. lacking: why there are none."""
        if lacking:
            self._lacking = lacking
        if [card.id for card in found] == [card.id for card in self.cards] and self.ui.modelComboBox.count:
            return
        self.cards = found
        kept, self.parameters = self.parameters, None  # while the list is filled, its signals are not the user's
        self.ui.modelComboBox.clear()
        for identifier, title in cards.choices(found):
            self.ui.modelComboBox.addItem(title, identifier)
        self.parameters = kept

    @property
    def model(self) -> str:
        """Identifier of the model that would be used: the chosen one, or the first that is offered; "" where there is none."""
        card = cards.chosen(self.cards, self.parameters.model)
        return card.id if card is not None else ""

    def _on_model(self, index: int) -> None:
        if self.parameters is not None:
            self.parameters.model = self.ui.modelComboBox.itemData(index) or ""

    def refresh(self) -> None:
        """The card of the chosen model, or of the one that would be used, before Apply."""
        method = self.parameters.method
        used = method in self._learned
        self.ui.modelComboBox.enabled = used
        index = max(self.ui.modelComboBox.findData(self.parameters.model), 0)
        if index != self.ui.modelComboBox.currentIndex:
            self.ui.modelComboBox.currentIndex = index
        text = cards.html(self.cards, self.parameters.model, method, self._lacking) if used else cards.method_html(method)
        if text != self._card_text:  # set again, the text would jump back to its top
            self._card_text = text
            self.ui.cardBrowser.setHtml(text)
