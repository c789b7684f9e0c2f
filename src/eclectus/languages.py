"""Language tags as a run writes them: BCP-47, checked against the registry, with names and directions.

A run uses one spelling for a language everywhere (texts, directions, caps, reports), so a tag that is known but
spelled another way (`pt_BR`, `spa`) is refused with the right spelling instead of being rewritten in silence.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache

import langcodes

from eclectus.errors import ConfigError, nearest

Direction = tuple[str, str]


@cache
def normalise(tag: str) -> str:
    """Return the standard BCP-47 spelling of `tag`: `pt_br` -> `pt-BR`, `spa_Latn` -> `es`, `iw` -> `he`.

    Raises:
        ConfigError: no such language.
    """
    try:
        standard = langcodes.standardize_tag(tag)
        # qaa to qtz are valid by the letter: the standard leaves them to private use.
        valid = langcodes.tag_is_valid(standard) and not re.match(r"q[a-t][a-z](-|$)", standard)
    except langcodes.LanguageTagError:
        valid = False
    if not valid:
        raise ConfigError(f"languages: unknown language '{tag}'{_suggestion(tag)}")
    return standard


def check(tags: Sequence[str]) -> list[str]:
    """Return the tags of a run, each known, in its standard spelling and named once.

    Raises:
        ConfigError: an unknown tag, a tag spelled otherwise, or one that stands twice.
    """
    for index, tag in enumerate(tags):
        standard = normalise(tag)
        if standard != tag:
            raise ConfigError(f"languages: write '{standard}' ({name(standard)}) instead of '{tag}'")
        if tag in tags[:index]:
            raise ConfigError(f"languages: '{tag}' stands twice; name each language once")
    return list(tags)


@cache
def name(tag: str) -> str:
    """Return the English name of a language: `pt-BR` -> `Portuguese (Brazil)`.

    Raises:
        ConfigError: no such language.
    """
    return langcodes.Language.get(normalise(tag)).display_name()


@cache
def locale(tag: str) -> str:
    """Return the fullest form of `tag` with script and region; two tags of one variety give the same.

    `pt` counts as European Portuguese: gettext catalogues keep it beside `pt_BR`, and a run must not mix varieties.
    """
    if normalise(tag) == "pt":
        return "pt-Latn-PT"
    return langcodes.Language.get(normalise(tag)).maximize().to_tag()


def agrees(tag: str, wanted: str) -> bool:
    """Whether a text's language tag names no other region or script than the wanted one names: `pt` for `pt-BR`."""
    one, other = _parse(tag), _parse(wanted)
    if one is None or other is None:
        return False
    parts = ((one.script, other.script), (one.territory, other.territory))
    return all(mine is None or theirs is None or mine == theirs for mine, theirs in parts)


class Codes:
    """A model's own language codes, found by BCP-47 tag: `ar` -> `arb_Arab`, `zh` -> `zh_CN`, `sw` -> `swh_Latn`.

    A code means a tag where language (an individual language stands for its macrolanguage as in CLDR: `arb` is `ar`,
    `arz` is not) and script of their fullest forms agree. Among several such codes the order is: the same spelling,
    the same territory, the same individual language, no territory of its own. A bare language also takes the model's
    only writing of it (`ko` -> `kor_Hang`).

    Args:
        codes: as the model writes them, without the marks around them: `eng_Latn`, `en_XX`, `en`, `pt_BR`, `zho_Hans`.
            What is no language (`translate`) is left out.
    """

    def __init__(self, codes: Iterable[str]) -> None:
        self._by_language: defaultdict[str, list[str]] = defaultdict(list)
        for code in codes:
            parsed = _parse(code)
            if parsed is not None:
                self._by_language[_macro(parsed)].append(code)
        self._found: dict[str, str | None] = {}
        self.tags = [self._tag(code) for group in self._by_language.values() for code in group]
        """The BCP-47 tag of each code, as short as tells it from the others."""

    def find(self, tag: str) -> str | None:
        """Return the code for a BCP-47 tag, or None where the model lacks the language."""
        if tag not in self._found:
            self._found[tag] = self._search(tag)
        return self._found[tag]

    def _search(self, tag: str) -> str | None:
        wanted = _parse(tag)
        if wanted is None:
            return None
        group = self._by_language.get(_macro(wanted), [])
        full, spelling = wanted.maximize(), wanted.to_tag()
        scored = []
        for code in group:
            parsed = _parse(code)
            assert parsed is not None  # left out at construction otherwise
            other = parsed.maximize()
            if other.script == full.script:
                rank = (
                    code.replace("_", "-") != tag,
                    parsed.to_tag() != spelling,
                    other.territory != full.territory,
                    parsed.language != wanted.language,
                    parsed.territory is not None,
                )
                scored.append((rank, code))
        if scored:
            return min(scored)[1]
        # The registry and the model may differ on the usual script; a territory would imply one (zh-TW).
        bare = wanted.script is None and wanted.territory is None
        return group[0] if bare and len(group) == 1 else None

    def _tag(self, code: str) -> str:
        parsed = _parse(code)
        assert parsed is not None
        for tag in (_macro(parsed), parsed.language, f"{parsed.language}-{parsed.script}", parsed.to_tag()):
            if tag and _parse(tag) is not None and self.find(tag) == code:
                return tag
        return parsed.to_tag()


_SPELLINGS = {"ns": "nso"}
"""Codes of models (M2M100) that are no language codes."""

_ONLY_VARIETY = {"nb": "no", "pbt": "ps", "quy": "qu", "fuv": "ff"}
"""Varieties that stand for their macrolanguage in models, beside those that CLDR lets stand for it."""


@cache
def _parse(code: str) -> langcodes.Language | None:
    """Read a tag or a model's code; None where it is no language."""
    bare = re.sub(r"[-_]XX$", "", code)
    try:
        tag = langcodes.standardize_tag(_SPELLINGS.get(bare, bare))
        return langcodes.Language.get(tag) if langcodes.tag_is_valid(tag) else None
    except langcodes.LanguageTagError:
        return None


def _macro(parsed: langcodes.Language) -> str:
    language = str(parsed.prefer_macrolanguage().language)
    return _ONLY_VARIETY.get(language, language)


def direction(source: str, target: str) -> str:
    """Return the name of a translation direction: `("es", "pt-BR")` -> `es-pt-BR`."""
    return f"{source}-{target}"


def expand_directions(patterns: Sequence[str], languages: Sequence[str]) -> list[Direction]:
    """Turn patterns into directions, in the order of the patterns and then of `languages`, without duplicates.

    Args:
        patterns: `en-es`, `en-*`, `*-en` or `*-*`; a language is never paired with itself.
        languages: the run's tags; tags with hyphens such as `pt-BR` are fine.

    Raises:
        ConfigError: a pattern with a language that the run does not have, or one that matches no direction.
    """
    found: dict[Direction, None] = {}
    for pattern in patterns:
        source, target = _split(pattern, languages)
        sources = languages if source == "*" else [source]
        targets = languages if target == "*" else [target]
        matches = [(s, t) for s in sources for t in targets if s != t]
        if not matches:
            raise ConfigError(f"directions: '{pattern}' matches nothing; a language is not translated into itself")
        found.update(dict.fromkeys(matches))
    return list(found)


def _split(pattern: str, languages: Sequence[str]) -> Direction:
    """Cut a pattern at the hyphen that leaves a known side on both hands."""
    known = {*languages, "*"}
    cuts = [(pattern[:i], pattern[i + 1 :]) for i, character in enumerate(pattern) if character == "-"]
    for source, target in cuts:
        if source in known and target in known:
            return source, target
    for source, target in cuts:
        if source in known or target in known:
            unknown = target if source in known else source
            raise ConfigError(
                f"directions: '{pattern}' names '{unknown}', which is not among the run's languages"
                f"{nearest(unknown, languages)}"
            )
    raise ConfigError(
        f"directions: cannot read '{pattern}' with the languages {', '.join(languages)}; "
        "write it as en-es, en-* or *-en"
    )


def _suggestion(tag: str) -> str:
    """Name the tag of the language whose English name is `tag` or nearly so."""
    from language_data.population_data import LANGUAGE_SPEAKING_POPULATION

    try:
        return f"; did you mean '{langcodes.find(tag).to_tag()}'?"
    except LookupError:
        tags = {t for t in LANGUAGE_SPEAKING_POPULATION if "-" not in t}
        names = {langcodes.Language.get(t).display_name().casefold(): t for t in tags}
        hint = nearest(tag.casefold(), names) if tag.isalpha() and len(tag) > 3 else ""
        if hint.startswith("; did"):
            return f"; did you mean '{names[hint.split(chr(39))[1]]}'?"
        return "; write a BCP-47 tag such as es, pt-BR or zh-Hans"
