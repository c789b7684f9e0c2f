"""Files and folders are written whole or not at all: at any mistake the old one stays, and nothing else is left."""

import os

import pytest

from eclectus import atomic


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "results.v1.json"
    path.write_text("old", encoding="utf-8")
    return path


def alone(path, content):
    return [p.name for p in path.parent.iterdir()] == [path.name] and path.read_bytes() == content


def test_the_new_content_takes_the_place_of_the_old(old):
    atomic.write(old, "Grüße\nتحيات\n")
    assert alone(old, "Grüße\nتحيات\n".encode())
    with atomic.writing_bytes(old) as stream:
        stream.write(b"\x00\r\n\xff")
    assert alone(old, b"\x00\r\n\xff")


def test_nothing_is_there_before_the_end(tmp_path):
    path = tmp_path / "new.txt"
    with atomic.writing(path) as stream:
        stream.write("half")
        stream.flush()
        assert not path.exists()
    assert alone(path, b"half")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("open_", [atomic.writing, atomic.writing_bytes])
def test_a_failure_half_way_leaves_the_old_file_alone(old, open_, error):
    with pytest.raises(error), open_(old) as stream:
        stream.write("new" if open_ is atomic.writing else b"new")
        raise error
    assert alone(old, b"old")


def test_a_folder_takes_the_place_of_the_old_one_when_it_is_full(tmp_path):
    path = tmp_path / "model.v1"
    (tmp_path / ".model.v1.tmp").mkdir()
    (tmp_path / ".model.v1.tmp" / "of a crash").touch()
    for name in ("one", "two"):
        with atomic.folder(path) as made:
            (made / name).touch()
        assert [p.name for p in tmp_path.iterdir()] == [path.name] and [p.name for p in path.iterdir()] == [name]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_half_way_leaves_the_old_folder_alone(tmp_path, error):
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(error), atomic.folder(path) as made:
        (made / "new").touch()
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["model"] and [p.name for p in path.iterdir()] == ["old"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_or_a_file_that_is_held_open_leaves_the_old_file_alone(old, monkeypatch, call):
    def refuse(*_):
        raise PermissionError("another program holds it")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(PermissionError):
        atomic.write(old, "new")
    monkeypatch.undo()
    assert alone(old, b"old")


def test_text_that_cannot_be_written_leaves_the_old_file_alone(old):
    with pytest.raises(UnicodeEncodeError):
        atomic.write(old, "half of a pair: \ud83d")
    assert alone(old, b"old")


def test_a_folder_that_is_missing_is_told(tmp_path):
    with pytest.raises(FileNotFoundError):
        atomic.write(tmp_path / "missing" / "a.txt", "new")


def test_what_a_killed_process_left_does_not_matter(old):
    old.with_name(f".{old.name}.tmp").write_text("a longer beginning of nothing", encoding="utf-8")
    atomic.write(old, "new")
    assert alone(old, b"new")
