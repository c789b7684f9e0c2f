"""Language identification of the made-up words of `fake_run`, and one made-up run for all tests that read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fake_run
import pytest

from eclectus.evaluation import metrics, report
from eclectus.evaluation.results import Results


@pytest.fixture(scope="session")
def known_words() -> Iterator[None]:
    """Identify languages by the words of the templates."""
    patch = pytest.MonkeyPatch()
    patch.setattr(metrics, "_identify", fake_run.identify)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def results(known_words: None) -> Results:
    return fake_run.results(n=30, resamples=200)


@pytest.fixture(scope="session")
def run(known_words: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run folder with its report."""
    folder = tmp_path_factory.mktemp("run")
    fake_run.write_run(folder, n=30, resamples=200)
    report.write(folder)
    return folder
