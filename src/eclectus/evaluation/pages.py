"""What all pages share: the templates of this room and their filters."""

from __future__ import annotations

import re

import jinja2
from markupsafe import Markup, escape

from eclectus.evaluation import formats

REPORT = "report.html"
"""The page of a run, in its folder."""

_APART = re.compile(r"(?<=\d) (?=%)|(?<=\bp) (?=[=≤])|(?<=[=≤]) |(?<=→) ")

_INTERVAL = re.compile(r"(?<= )(\[[^\]]*\])$")


def environment() -> jinja2.Environment:
    """The templates of this room with the filters that they use."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("eclectus.evaluation", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    for function in (formats.number, formats.signed, formats.percent, formats.p_value, formats.count, formats.capital):
        environment.filters[function.__name__] = function
    environment.filters |= {"duration": formats.duration, "interval": lambda c: formats.interval(c.low, c.high)}
    environment.filters["spread"] = _spread
    environment.filters["unbroken"] = lambda text: _APART.sub("\u00a0", text)
    environment.filters["svg"] = lambda plot: Markup(plot.svg)  # made by plots.py, which escapes text
    return environment


def _spread(text: str) -> Markup:
    """A cell whose interval stands back behind its value."""
    return Markup(_INTERVAL.sub(r'<span class="ci">\1</span>', str(escape(text))))
