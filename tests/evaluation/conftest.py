"""Language identification of the made-up words of `fake_run`, and one made-up run for all tests that read it."""

from __future__ import annotations

from pathlib import Path

import fake_run
import pytest

from eclectus.evaluation import metrics, report
from eclectus.evaluation.results import Results


@pytest.fixture(autouse=True)
def known_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Identify languages by the words of the templates."""
    monkeypatch.setattr(metrics, "_identify", fake_run.identify)


@pytest.fixture(scope="session")
def results() -> Results:
    # Patched here too, and no longer than that: a fixture of the session is made before those of a test.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "_identify", fake_run.identify)
        return fake_run.results(n=30, resamples=200)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run folder with its report."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "_identify", fake_run.identify)
        fake_run.write_run(folder, n=30, resamples=200)
        report.write(folder)
    return folder
