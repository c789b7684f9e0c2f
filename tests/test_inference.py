"""Translations as a file."""

import errno
import os
from pathlib import Path

import pytest
from rich.console import Console

from eclectus import inference
from eclectus.errors import DataError
from tests.tiny import tiny_policy


@pytest.fixture
def windows(monkeypatch):
    """A system that ends lines of text files in its own way."""
    write = Path.write_bytes

    def write_text(self, text, encoding=None, errors=None, newline=None):
        return write(self, text.replace("\n", newline or "\r\n").encode(encoding))

    monkeypatch.setattr(Path, "write_text", write_text)
    monkeypatch.setattr(inference, "load", lambda _: (tiny_policy(), None))


def test_a_file_holds_what_standard_output_does_on_every_system(windows, tmp_path, capfdbinary):
    path, options = tmp_path / "out.txt", {"beams": 1, "max_length": 4}
    inference.translate("tiny", ["one two", "three"], None, None, "en", "es", **options)
    inference.translate("tiny", ["one two", "three"], None, path, "en", "es", **options)
    shown = capfdbinary.readouterr().out
    assert path.read_bytes() == shown and shown.count(b"\n") == 2 and b"\r" not in shown


def test_saved_translations_end_in_a_line_feed_on_every_system(windows, tmp_path):
    (tmp_path / "pairs.tsv").write_bytes(b"en\tes\none two\tuno dos\nthree\ttres\n")
    options = {"columns": None, "beams": 1, "max_length": 4, "console": Console(quiet=True)}
    inference.evaluate("tiny", tmp_path / "pairs.tsv", "en", "es", save=tmp_path / "out.txt", **options)
    saved = (tmp_path / "out.txt").read_bytes()
    assert saved.count(b"\n") == 2 and b"\r" not in saved


def test_the_keys_of_a_jsonl_can_be_named(windows, tmp_path):
    (tmp_path / "pairs.jsonl").write_bytes(b'{"source": "one two", "target": "uno dos"}\n')
    options = {"columns": "en=source, es=target", "beams": 1, "max_length": 4, "console": Console(quiet=True)}
    inference.evaluate("tiny", tmp_path / "pairs.jsonl", "en", "es", save=tmp_path / "out.txt", **options)
    assert (tmp_path / "out.txt").read_bytes().count(b"\n") == 1


def test_the_keys_of_a_jsonl_may_hold_spaces(windows, tmp_path):
    (tmp_path / "pairs.jsonl").write_bytes(b'{"source text": "one two", "target text": "uno dos"}\n')
    columns = "en=source text, es = target text"
    options = {"columns": columns, "beams": 1, "max_length": 4, "console": Console(quiet=True)}
    inference.evaluate("tiny", tmp_path / "pairs.jsonl", "en", "es", save=tmp_path / "out.txt", **options)
    assert (tmp_path / "out.txt").read_bytes().count(b"\n") == 1


def test_a_full_disk_loses_no_translation(windows, tmp_path, monkeypatch, capfdbinary):
    options = {"beams": 1, "max_length": 4}
    inference.translate("tiny", ["one two", "three"], None, None, "en", "es", **options)
    wanted = capfdbinary.readouterr().out

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"cannot write '.*out.txt' \(No space left on device\); the translations are"):
        inference.translate("tiny", ["one two", "three"], None, tmp_path / "out.txt", "en", "es", **options)
    assert capfdbinary.readouterr().out == wanted
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["app.po", "messages.POT", "app.mo"])
def test_a_gettext_catalogue_is_no_table(tmp_path, name):
    (tmp_path / name).write_bytes(b'msgid "one"\nmsgstr "uno"\n')
    options = {"columns": None, "beams": 1, "max_length": 4, "console": Console(quiet=True)}
    with pytest.raises(
        DataError, match=f"{name}' is a gettext catalogue, which is not read here; .* TSV, JSONL, TMX or"
    ):
        inference.evaluate("tiny", tmp_path / name, "en", "es", save=None, **options)
