"""The user's own files in translation: XLIFF, as translation tools and frameworks exchange it, source beside target.

XLIFF 1.2: <https://docs.oasis-open.org/xliff/v1.2/os/xliff-core.html>, 2.1:
<https://docs.oasis-open.org/xliff/xliff-core/v2.1/os/xliff-core-v2.1-os.html>. A `trans-unit` of the first and a
`segment` of the second hold a `source` and, once it is translated, a `target`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar
from xml.etree import ElementTree

from pydantic import Field

from eclectus.corpora.clean import GAP
from eclectus.corpora.memory import XML_LANG, Events, Memory, Unit, local
from eclectus.errors import DataError

_TRANSLATABLE = ("file", "group", "unit", "trans-unit")
_UNTRANSLATED = ("new", "needs-translation", "initial")


class Xliff(Memory):
    """Files in translation (XLIFF 1.0 to 1.2 and 2.x); a source without its translation is monolingual text."""

    class Options(Memory.Options):
        states: list[str] | None = Field(
            None,
            description="read the targets of these states alone, such as [final, signed-off]; null: of all but"
            f" {', '.join(_UNTRANSLATED[:-1])} and {_UNTRANSLATED[-1]}",
        )

    options: Options

    outermost = "xliff"
    # `g`, `pc` and `mrk` hold text. Only a pair of codes, or its half, may be inside a word.
    codes: ClassVar = {
        "x": GAP, "ph": GAP, "bx": "", "ex": "", "bpt": "", "ept": "", "it": "", "sc": "", "ec": "", "cp": "",
        "sm": "", "em": "",
    }  # fmt: skip

    def units(self, events: Events) -> Iterator[Unit]:
        """Yield what each `trans-unit` or `segment` says."""
        source = target = ""
        translate = [True]  # of the elements that are open, the innermost last; what does not say it inherits it
        for event, element in events:
            kind = local(element)
            if event == "start" and kind == "xliff":  # of 2.x; before that each `file` has its own
                source, target = element.get("srcLang", ""), element.get("trgLang", "")
            elif event == "start" and kind == "file" and "source-language" in element.attrib:
                source, target = element.get("source-language", ""), element.get("target-language", "")
            if event == "start" and kind in _TRANSLATABLE:
                translate.append(element.get("translate", "yes" if translate[-1] else "no") != "no")
            if event == "end" and kind in ("segment", "trans-unit"):
                if translate[-1]:
                    yield self._unit(element, source, target)
                else:
                    self.dropped["not to be translated"] += 1
                element.clear()
            if event == "end" and kind in _TRANSLATABLE:
                translate.pop()

    def text(self, element: ElementTree.Element) -> str:
        """Return what an element says; a code that is kept is what its attributes say it stands for."""
        if self.options.codes == "keep" and local(element) in self.codes and not element.text:
            return element.get("equiv-text") or element.get("equiv") or element.get("disp") or ""
        return super().text(element)

    def code(self, element: ElementTree.Element) -> str:
        """Return all that the file says of a code, which may be in its attributes."""
        said = (element.get(name) for name in ("equiv-text", "equiv", "disp"))
        return " ".join([super().code(element), *filter(None, said)])

    def _unit(self, element: ElementTree.Element, source: str, target: str) -> Unit:
        unit: Unit = {}
        # Direct children alone: what `alt-trans` holds is a suggestion.
        for child in element:
            if local(child) == "source":
                unit[child.get(XML_LANG) or source] = [self.segment(child)]
            elif local(child) == "target" and not self._is_read(child.get("state") or element.get("state")):
                self.dropped["target of another state"] += 1
            elif local(child) == "target":
                tag = child.get(XML_LANG) or target
                if not tag and not any("" in tags for tags in self.options.tags.values()):
                    raise DataError(
                        f"{self.name}: '{self.options.path}' does not say which language its targets are in; name it"
                        f" with tags: {{{self.languages[-1]}: ['']}}"
                    )
                unit[tag] = [self.segment(child)]
        return unit

    def _is_read(self, state: str | None) -> bool:
        states = self.options.states
        return state not in _UNTRANSLATED if states is None else state in states
