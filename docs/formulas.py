r"""Turn the formulas of the pages into MathML, which browsers show without a script; a hook, see mkdocs.yml.

pymdownx.arithmatex finds them and leaves `\(…\)` and `\[…\]`.
"""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, *, page: Any, **_: Any) -> str:
    """Return a page's HTML with its formulas as MathML; one with an unknown command ends the build."""

    def mathml(found: re.Match[str]) -> str:
        latex = html.unescape(found[2]).strip().replace(r"\arg\max", r"\operatorname{arg\,max}")
        made = convert(latex, display="block" if found[1] == "div" else "inline")
        if unknown := re.findall(r"\\[a-zA-Z]+", made):
            raise PluginError(f"{page.file.src_uri}: latex2mathml does not know {', '.join(unknown)} in {latex}")
        return made

    return FORMULA.sub(mathml, content)
