"""`eclectus report`: the page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, finished or not.")]) -> None:
    """Rebuild a run's report.html."""
    from eclectus.evaluation import report as reports

    print(f"report: {reports.write(run)}")
