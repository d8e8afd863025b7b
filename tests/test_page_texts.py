"""The texts of the websites are complete in every language."""

from string import Formatter

import pytest

from cmcgan_core.app.server import PAGE_TEXTS as APP
from cmcgan_core.human_eval.study import PAGE_TEXTS as HUMAN_EVAL
from cmcgan_core.utils.schema import flatten
from cmcgan_core.web.texts import PageTexts


@pytest.mark.parametrize("texts", [APP, HUMAN_EVAL], ids=["app", "human_eval"])
def test_every_language_has_every_text(texts: PageTexts) -> None:
    def placeholders(text: str) -> set[str | None]:
        return {name for _, name, _, _ in Formatter().parse(text) if name}

    english = flatten(texts.read("en"))
    assert texts.languages() == ["de", "en"]
    for language in texts.languages():
        translated = flatten(texts.read(language))
        assert list(translated) == list(english)
        for key, text in english.items():
            assert placeholders(translated[key]) == placeholders(text), (language, key)
            assert bool(translated[key]) == bool(text), (language, key)
