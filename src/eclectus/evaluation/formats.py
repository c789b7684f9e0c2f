"""Numbers as the sentences, tables and pages of an evaluation write them."""

from __future__ import annotations

import math

MISSING = "–"


def number(value: float | None, digits: int = 1) -> str:
    """`24.1`; a dash for None."""
    if value is None:
        return MISSING
    text = f"{abs(value):.{digits}f}"
    return ("−" if value < 0 and float(text) > 0 else "") + text


def signed(value: float, digits: int = 1) -> str:
    """`+46.1` or `−0.4`."""
    text = f"{abs(value):.{digits}f}"
    return ("" if float(text) == 0 else "+" if value > 0 else "−") + text


def interval(low: float, high: float) -> str:
    """`[44.9, 47.3]`."""
    return f"[{number(low)}, {number(high)}]"


def percent(value: float | None) -> str:
    """`31 %`, with one digit more under 10 %."""
    if value is None:
        return MISSING
    scaled = 100 * value
    return f"{scaled:.0f} %" if scaled == 0 or scaled >= 9.95 else f"{scaled:.1f} %"


def p_value(p: float, resamples: int) -> str:
    """`p = 0.034`; `p ≤ 0.002` where the bootstrap cannot tell less from 1,000 resamples: the bound is rounded up."""
    smallest = 2 / (resamples + 1)
    digits = max(3, math.ceil(-math.log10(p)))  # one that is not 0
    if p <= smallest * 1.0001:
        first = math.ceil(-math.log10(smallest))
        return f"p ≤ {math.ceil(smallest * 10**first) / 10**first:.{first}f}"
    return f"p = {p:.{digits}f}" if p < 0.0995 else f"p = {p:.2f}"


def capital(text: str) -> str:
    """`Zero-shot` for `zero-shot`; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def count(n: int, noun: str) -> str:
    """`1 direction`, `1,200 segments`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def listing(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def duration(seconds: float | None) -> str:
    """`48 s`, `6 min 10 s`, `2 h 5 min`."""
    if seconds is None:
        return MISSING
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 // 60 else "")
