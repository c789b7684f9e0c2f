"""HTML and XML in running text: tags with their nesting, and the entities that stand for symbols."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator

from eclectus.rewards.text import ENTITIES

_TAG = re.compile(r"<(/?)([A-Za-z][\w:.-]{0,80})([^<>]{0,1000}?)(/?)>")
_ATTRIBUTE = re.compile(r"([^\s=\"'/]{1,80})(?:\s{0,9}=\s{0,9}(\"[^\"]*\"|'[^']*'|[^\s\"']+))?")
_WORDS = re.compile(r"(?:\s+[^\W\d_]+)+\s*")
_SYNTAX = frozenset("&<>")
_ENTITY = re.compile(ENTITIES)
# https://html.spec.whatwg.org/multipage/syntax.html#void-elements
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
# https://html.spec.whatwg.org/multipage/indices.html#attributes-3: those that need no value.
_BOOLEAN = frozenset(
    ["allowfullscreen", "async", "autofocus", "autoplay", "checked", "controls", "default", "defer", "disabled",
     "download", "formnovalidate", "hidden", "inert", "ismap", "itemscope", "loop", "multiple", "muted", "nomodule",
     "novalidate", "open", "playsinline", "readonly", "required", "reversed", "selected"]
)  # fmt: skip
_TRANSLATED = frozenset(
    ["alt", "aria-description", "aria-label", "dir", "lang", "placeholder", "summary", "title", "xml:lang"]
)


def tags(text: str) -> Iterator[str]:
    """Yield a token for each tag, such that texts with equal tokens have equal elements, equally nested.

    An opening tag is known by its name, its parent, and its attributes in any order (without those whose values are
    translated); a closing tag by its name, and by whether it closes the element that was opened last. Words between the
    brackets (`<file name>`, `x <y and z> 3`) are no tag but text.
    """
    stack: list[str] = []
    for closing, name, attributes, empty in _TAG.findall(text):
        if not closing and _WORDS.fullmatch(attributes) and not _BOOLEAN.issuperset(attributes.lower().split()):
            continue
        name = name.lower()
        if not closing:
            kept = sorted({(key.lower(), value.strip("\"'")) for key, value in _ATTRIBUTE.findall(attributes)})
            words = [f"{key}={value}" for key, value in kept if key not in _TRANSLATED]
            yield f"{stack[-1] if stack else ''}<{' '.join([name, *words])}>"
            if not empty and name not in _VOID:
                stack.append(name)
        elif stack and stack[-1] == name:
            stack.pop()
            yield f"</{name}>"
        else:
            yield f"misplaced </{name}>"


def symbols(text: str) -> Iterator[str]:
    """Yield the entities that a translation keeps: `&amp;`, `&lt;`, `&gt;` and symbols such as `&copy;`.

    Those for letters, spaces, quotes and dashes do not count, as languages differ in them, nor does `&amp;` between
    spaces, which stands for "and".
    """
    for match in _ENTITY.finditer(text):
        character, start, end = html.unescape(match.group()), match.start(), match.end()
        if character == "&" and not (text[max(start - 1, 0) : start] + text[end : end + 1]).strip():
            continue
        if character in _SYNTAX or (len(character) == 1 and unicodedata.category(character)[0] == "S"):
            yield f"&{character};"
