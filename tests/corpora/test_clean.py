"""Normalisation, filters and the key for leaks."""

from collections import Counter

import pytest

from eclectus.corpora.base import Entry
from eclectus.corpora.clean import clean, normalise, normalise_key, ratio_fits, words


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("  two\u00a0 words\n", "two words"),
        ("12\u202fkm", "12 km"),
        ("e\u0301te\u0301", "été"),
        ("soft\u00adhyphen\u200b\x07", "softhyphen"),
        ("\u200f12 דקות", "12 דקות"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("half \ud83d an emoji", "half an emoji"),
    ],
)
def test_normalise(raw: str, expected: str) -> None:
    assert normalise(raw) == expected


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("Log in!", "log  in", True),
        ("«Straße»", "STRASSE", True),
        ("12 km", "12km", True),
        ("İşlemi iptal et", "işlemi iptal et", True),
        ("ISPARTA", "ısparta", True),
        ("ΟΔΟΣ", "οδός", True),
        ("ΜΑΪΟΣ ΐ", "Μάιος ΐ", True),
        ("Ὀδός", "οδος", True),
        ("été 5 µm", "ete 5 μm", False),
        ("й", "и", False),
        ("हिन्दी", "हिनदी", False),
        ("$3", "€3", False),
        ("3.5", "35", True),
        ("?", "!", False),
    ],
)
def test_key(first: str, second: str, same: bool) -> None:
    assert (normalise_key(first) == normalise_key(second)) is same


@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [
        ("OK", "Aceptar", True),
        ("a" * 10, "b" * 40, True),
        ("a" * 10, "b" * 41, False),
        ("保存所有更改的页面", "b" * 60, True),
    ],
)
def test_ratio(first: str, second: str, fits: bool) -> None:
    assert ratio_fits(first, second, 4.0) is fits
    assert ratio_fits(second, first, 4.0) is fits


def test_words_in_a_script_without_spaces() -> None:
    assert words("保存所有更改") == 3
    assert words("save all changes") == 3


def test_clean_drops_texts_not_entries_and_counts_why() -> None:
    dropped: Counter[str] = Counter()
    entries = [
        Entry({"en": "Save", "es": "Guardar " * 9}, "c", "1"),
        Entry({"en": "…", "es": "¡!"}, "c", "2"),
        Entry({"en": "Save  "}, "c", "3"),
        Entry({"en": "Save"}, "c", "4", "test"),
    ]
    kept = list(clean(entries, 40, dropped))
    assert [(e.id, dict(e.texts)) for e in kept] == [("1", {"en": "Save"}), ("4", {"en": "Save"})]
    assert dropped == {"too long": 1, "no letters or digits": 2, "duplicate": 1}
