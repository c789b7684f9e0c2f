"""Kinds of CLDR phrases: each draws its values once and returns a function that says them in any language."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from typing import Any

import num2words
from babel import dates, numbers

from eclectus.corpora.voices import Pools, Voice

Say = Callable[[Voice], str | None]

_UNITS_EVERYDAY = (
    "duration-second duration-minute duration-hour duration-day duration-week duration-month duration-year "
    "duration-decade duration-century duration-millisecond length-millimeter length-centimeter length-meter "
    "length-kilometer length-inch length-foot length-yard length-mile length-light-year length-nautical-mile "
    "mass-gram mass-kilogram mass-milligram mass-ton mass-tonne mass-ounce mass-pound mass-carat "
    "temperature-celsius temperature-fahrenheit temperature-kelvin speed-kilometer-per-hour speed-meter-per-second "
    "speed-mile-per-hour speed-knot volume-liter volume-milliliter volume-centiliter volume-cubic-meter volume-cup "
    "volume-gallon volume-pint volume-barrel volume-tablespoon volume-teaspoon volume-cubic-kilometer "
    "area-square-meter area-square-kilometer area-hectare area-acre area-square-mile area-square-foot "
    "digital-byte digital-kilobyte digital-megabyte digital-gigabyte digital-terabyte digital-bit digital-megabit "
    "energy-joule energy-kilocalorie energy-kilowatt-hour energy-calorie power-watt power-kilowatt power-horsepower "
    "pressure-bar pressure-pascal pressure-atmosphere pressure-hectopascal frequency-hertz frequency-megahertz "
    "electric-volt electric-ampere electric-ohm concentr-percent concentr-karat angle-degree angle-radian "
    "graphics-pixel graphics-megapixel light-lux light-lumen force-newton consumption-liter-per-100-kilometer"
)
UNITS_EVERYDAY = _UNITS_EVERYDAY.split()
_UNITS_SYMBOLS = (
    "length-kilometer length-meter length-centimeter length-millimeter mass-kilogram mass-gram volume-liter "
    "speed-kilometer-per-hour temperature-celsius power-watt power-kilowatt electric-volt digital-megabyte "
    "digital-gigabyte"
)
UNITS_SYMBOLS = _UNITS_SYMBOLS.split()
_CURRENCIES = "USD EUR GBP JPY CHF CNY BRL MXN ARS CAD AUD INR RUB SEK NOK DKK PLN CZK TRY ZAR KRW CLP COP PEN MAD EGP"
CURRENCIES = _CURRENCIES.split()
NUM2WORDS = {"nb": "no", "nn": "", "kk": "kz", "sr": "", "sr-Latn": "sr"}
"""Languages that num2words calls otherwise, or has in another script or variety only ("": not at all)."""
SPANS = ("year", "month", "week", "day", "hour", "minute", "second")
SECONDS = dict(zip(SPANS, (31536000, 2592000, 604800, 86400, 3600, 60, 1), strict=True))


def _number(rng: random.Random) -> int:
    """A whole number, small ones more often: the plural forms are among them."""
    return rng.choice([rng.randint(1, 12), rng.randint(2, 99), rng.randint(100, 999), rng.randint(1000, 99999)])


def _date(rng: random.Random) -> datetime.datetime:
    start = datetime.datetime(1900, 1, 1, tzinfo=datetime.UTC)
    return start + datetime.timedelta(minutes=rng.randrange(150 * 365 * 24 * 60))


def _lists(rng: random.Random, pools: Pools) -> Say:
    """`Portugal, Spain and Chad`, `Monday or Friday`, `Polish and Welsh`."""
    what = rng.choices(["territories", "languages", "currencies", "weekdays", "months"], [9, 9, 4, 2, 2])[0]
    style = rng.choices(["standard", "or"], [3, 1])[0]
    n = rng.choice([2, 2, 3, 3, 4])
    if what == "weekdays":
        codes: list[Any] = sorted(rng.sample(range(7), n))
    elif what == "months":
        codes = sorted(rng.sample(range(1, 13), n))
    else:
        codes = pools.draw(rng, what, n)
    return lambda voice: voice.join([(getattr(voice, what) or {}).get(code) for code in codes], style)


def _single(rng: random.Random, pools: Pools) -> Say:
    """One name: a country, a language, a variety of a language, a currency, a month or a weekday."""
    what = rng.choices(["variety", "territories", "languages", "currencies", "months", "weekdays"],
                       [8, 4, 5, 4, 0.2, 0.2])[0]  # fmt: skip
    if what == "months":
        month = rng.randint(1, 12)
        return lambda voice: (voice.months or {}).get(month)
    if what == "weekdays":
        day = rng.randint(0, 6)
        return lambda voice: (voice.weekdays or {}).get(day)
    if what == "variety":
        (language,) = pools.draw(rng, "languages")
        where = rng.choices(["territories", "scripts"], [4, 1])[0]
        (place,) = pools.draw(rng, where)
        return lambda voice: _variety(
            voice.languages.get(language), getattr(voice, where).get(place), voice.locale.language in ("zh", "yue")
        )
    (code,) = pools.draw(rng, what)
    return lambda voice: getattr(voice, what).get(code)


def _variety(language: str | None, place: str | None, chinese: bool) -> str | None:
    """CLDR's pattern for a locale's name, one in nearly every language: `Spanish (Chile)`."""
    if language is None or place is None or "(" in language or "(" in place:
        return None
    return f"{language}（{place}）" if chinese else f"{language} ({place})"


def _dates(rng: random.Random, pools: Pools) -> Say:
    """`Tuesday, March 5, 2024`, `March 2024`, `March 5`, `Mar 5 – 9, 2024`, `1st quarter 2024`."""
    day = _date(rng)
    form = rng.choices(["full", "long", "medium", "yMMMM", "MMMMd", "MMMEd", "quarter", "interval", "Gy"],
                       [8, 5, 2, 3, 3, 2, 1, 2, 1])[0]  # fmt: skip
    until = day + datetime.timedelta(days=rng.randint(1, 40))

    def say(voice: Voice) -> str | None:
        if not voice.has_dates:
            return None
        if form in ("full", "long", "medium"):
            return dates.format_date(day, form, locale=voice.locale)
        if form == "quarter":
            return (
                dates.format_date(day, "QQQQ y", locale=voice.locale)
                if voice.own("quarters", "format", "wide")
                else None
            )
        if form == "interval":
            text = dates.format_interval(day.date(), until.date(), "yMMMEd", locale=voice.locale)
            return None if "'" in text else text  # Babel leaves the quotes of Basque patterns in
        if form not in voice.locale.datetime_skeletons:
            return None
        return dates.format_skeleton(form, day, locale=voice.locale)

    return say


def _times(rng: random.Random, pools: Pools) -> Say:
    """`3:20 PM`, `Tuesday, March 5, 2024, 3:20 PM`."""
    moment = _date(rng)
    form = rng.choices(["short", "full"], [1, 6])[0]

    def say(voice: Voice) -> str | None:
        if not voice.has_dates:
            return None
        time = dates.format_time(moment.time(), "short", locale=voice.locale)
        if form == "short":
            return time
        pattern = str(voice.locale.datetime_formats["full"]).replace("'", "")
        return pattern.format(time, dates.format_date(moment, "full", locale=voice.locale))

    return say


def _units(rng: random.Random, pools: Pools) -> Say:
    """`5 kilometers per hour`, `12 km`, `3 meters and 40 kilograms`."""
    number, unit = _amount(rng), rng.choice(UNITS_EVERYDAY)
    if rng.random() < 0.3:
        other, second = _number(rng), rng.choice(UNITS_EVERYDAY)
        style = rng.choices(["standard", "or"], [2, 1])[0]
        return lambda voice: voice.join([voice.unit(number, unit), voice.unit(other, second)], style)
    if rng.random() < 0.1:
        symbol = rng.choice(UNITS_SYMBOLS)
        return lambda voice: voice.unit(number, symbol, "short")
    return lambda voice: voice.unit(number, unit)


def _amount(rng: random.Random) -> float:
    return round(rng.uniform(0.1, 99), 1) if rng.random() < 0.2 else _number(rng)


def _durations(rng: random.Random, pools: Pools) -> Say:
    """`3 hours, 5 minutes and 10 seconds`."""
    first = rng.randrange(len(SPANS) - 1)
    spans = SPANS[first : first + rng.choice([2, 2, 3])]
    counts = [rng.randint(1, 59) for _ in spans]
    style = rng.choices(["standard", "or"], [4, 1])[0]
    return lambda voice: voice.join([voice.unit(n, f"duration-{s}") for n, s in zip(counts, spans, strict=True)], style)


def _relative(rng: random.Random, pools: Pools) -> Say:
    """`in 3 days`, `5 weeks ago`."""
    span = rng.choice(SPANS)
    limit = {"second": 59, "minute": 59, "hour": 23, "day": 6, "week": 3, "month": 11, "year": 90}[span]
    delta = datetime.timedelta(seconds=rng.choice([1, -1]) * rng.randint(1, limit) * SECONDS[span])
    side = "future" if delta.total_seconds() > 0 else "past"

    def say(voice: Voice) -> str | None:
        if not voice.own("date_fields", span, side):
            return None
        return dates.format_timedelta(delta, granularity=span, threshold=1, add_direction=True, locale=voice.locale)  # type: ignore[arg-type]

    return say


def _money(rng: random.Random, pools: Pools) -> Say:
    """`3 US dollars`, `€3.50`, `3 euros or 12 US dollars`."""
    amount, code = _number(rng), rng.choice(CURRENCIES)
    form = rng.choices(["name", "symbol", "rare", "two"], [5, 1, 3, 3])[0]
    if form == "symbol":
        value = rng.randint(1, 999999) / 100
        return lambda voice: (
            numbers.format_currency(value, code, locale=voice.locale) if code in voice.currencies else None
        )
    if form == "two":
        other, second = _number(rng), rng.choice(CURRENCIES)
        style = rng.choice(["standard", "or"])
        return lambda voice: voice.join([_in_words(voice, amount, code), _in_words(voice, other, second)], style)
    if form == "rare":
        (code,) = pools.draw(rng, "currencies")
    return lambda voice: _in_words(voice, amount, code)


def _in_words(voice: Voice, amount: int, code: str) -> str | None:
    # Without a plural of its own an everyday name does not change (German "5 Euro"); of a rare one nothing is known.
    if code not in voice.currencies or not (code in CURRENCIES or voice.own("currency_names_plural", code)):
        return None
    return numbers.format_currency(
        amount, code, "#,##0", locale=voice.locale, format_type="name", currency_digits=False
    )


def _zones(rng: random.Random, pools: Pools) -> Say:
    """`Central European Standard Time`."""
    (code,) = pools.draw(rng, "zones")
    return lambda voice: voice.zones.get(code)


def _numbers(rng: random.Random, pools: Pools) -> Say:
    """`12 million`, `35%`."""
    if rng.random() < 0.4:
        share = rng.randint(1, 999) / 1000
        return lambda voice: numbers.format_percent(share, locale=voice.locale)
    value = rng.randint(1, 999) * 10 ** rng.choice([3, 6, 6, 9])

    def say(voice: Voice) -> str | None:
        if not voice.own("compact_decimal_formats", "long"):
            return None
        return numbers.format_compact_decimal(value, format_type="long", locale=voice.locale)

    return say


def _words(rng: random.Random, pools: Pools) -> Say:
    """`three hundred and twelve`, by num2words."""
    value = rng.choice([rng.randint(0, 99), rng.randint(100, 999), rng.randint(1000, 9999), rng.randint(10000, 999999)])

    def say(voice: Voice) -> str | None:
        name = NUM2WORDS.get(voice.tag, voice.tag.replace("-", "_"))
        if name not in num2words.CONVERTER_CLASSES:
            name = voice.locale.language if voice.tag not in NUM2WORDS and voice.locale.script is None else ""
        try:
            return num2words.num2words(value, lang=name) if name in num2words.CONVERTER_CLASSES else None
        except (NotImplementedError, OverflowError, IndexError, KeyError, TypeError):  # a gap of that language
            return None

    return say


KINDS: dict[str, Callable[[random.Random, Pools], Say]] = {
    "lists": _lists,
    "names": _single,
    "dates": _dates,
    "units": _units,
    "durations": _durations,
    "relative": _relative,
    "money": _money,
    "times": _times,
    "zones": _zones,
    "numbers": _numbers,
    "words": _words,
}
