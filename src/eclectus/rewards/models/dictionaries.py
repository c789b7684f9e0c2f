"""Word lists behind the reward `words`: simplemma's own, or a folder of Hunspell dictionaries."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import langcodes

from eclectus.errors import ConfigError
from eclectus.rewards.text import subtag

Known = Callable[[str], bool]

_CACHED_WORDS = 2**16
# simplemma has one list for Serbian, Croatian and Bosnian in both scripts.
_SIMPLEMMA = {"sr": "hbs", "hr": "hbs", "bs": "hbs", "sh": "hbs", "no": "nb", "fil": "tl"}


class Simplemma:
    """The word lists of simplemma.

    Raises:
        ConfigError: simplemma is not installed.
    """

    def __init__(self) -> None:
        try:
            from simplemma import __version__
            from simplemma.strategies.dictionaries.dictionary_factory import (
                SUPPORTED_LANGUAGES,
                DefaultDictionaryFactory,
            )
            from simplemma.strategies.dictionary_lookup import DictionaryLookupStrategy
        except ImportError as error:
            raise ConfigError(
                "reward 'words' needs simplemma; install it with `pip install 'eclectus[words]'`, or give a folder of"
                " Hunspell dictionaries as 'path'"
            ) from error
        self.signature = f"simplemma:{__version__}"
        self._languages = SUPPORTED_LANGUAGES
        # What simplemma.is_known does, but that one drops all but the last eight languages, a second of loading each.
        self._look_up = DictionaryLookupStrategy(DefaultDictionaryFactory(cache_max_size=len(SUPPORTED_LANGUAGES)))

    def words(self, tag: str) -> Known | None:
        """Return what tells whether a word is known in a language; None for a language without a list."""
        code = _SIMPLEMMA.get(subtag(tag), subtag(tag))
        if code not in self._languages:
            return None
        return lru_cache(_CACHED_WORDS)(lambda word: self._look_up.get_lemma(word, code) is not None)


class Hunspell:
    """Dictionaries of Hunspell in a folder: `es_ES.aff` and `es_ES.dic`, `pt.aff` and `pt.dic` and so on.

    Args:
        folder: where the files are.

    Raises:
        ConfigError: the binding is not installed, or the folder holds no dictionary.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from hunspell import Hunspell as Dictionary
        except ImportError as error:
            raise ConfigError(
                "reward 'words': 'path' needs Hunspell; install it with `pip install 'eclectus[hunspell]'`, or remove"
                " 'path' to use simplemma"
            ) from error
        self._open = Dictionary
        self._folder = folder
        self._names = sorted(path.stem for path in folder.glob("*.aff") if path.with_suffix(".dic").exists())
        if not self._names:
            raise ConfigError(f"reward 'words': no Hunspell dictionary (.aff with .dic) in '{folder}'; change 'path'")
        self.signature = f"hunspell:{','.join(self._names)}"

    def words(self, tag: str) -> Known | None:
        """Return what tells whether a word is known in a language; None for a language without a dictionary."""
        name = self._name(tag)
        if name is None:
            return None
        spell = self._open(name, hunspell_data_dir=str(self._folder)).spell

        @lru_cache(_CACHED_WORDS)
        def known(word: str) -> bool:
            try:
                return spell(word)
            except UnicodeEncodeError:  # the dictionary is in an encoding without these letters
                return False

        return known

    def _name(self, tag: str) -> str | None:
        """Return the dictionary for a tag: its own, else of its language alone, of the likeliest region, of any."""
        language = subtag(tag)
        likely = langcodes.Language.get(language).maximize().territory
        of_language = [name for name in self._names if name.replace("_", "-").split("-")[0] == language]
        wanted = (tag, language, f"{language}-{likely}")
        found = [name for want in wanted for name in of_language if name.replace("_", "-").lower() == want.lower()]
        return next(iter(found + of_language), None)
