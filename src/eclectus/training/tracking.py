"""What a run tells while it works: metrics as JSON lines, a progress bar, tables of samples, and a request to stop."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from eclectus import atomic
from eclectus.evaluation import logs
from eclectus.launch import on_signals


class Tracker:
    """Writes `metrics.jsonl` and `samples.jsonl` of a run and shows its progress.

    Args:
        folder: the run folder.
        console: where people read; None keeps quiet.
    """

    def __init__(self, folder: Path, console: Console | None = None) -> None:
        self.folder = folder
        self.console = console or Console(quiet=True)
        self.stop_requested = False
        self._progress: Progress | None = None
        self._task: Any = None
        self._said = 0.0

    def log(self, kind: str, stage: str, step: int, values: Mapping[str, Any]) -> None:
        """Add one line to `metrics.jsonl`."""
        self._append("metrics.jsonl", {"kind": kind, "stage": stage, "step": step, **_plain(values)})

    def forget_after(self, stage: str, step: int) -> None:
        """Drop the lines of `stage` beyond `step`: a resumed run writes them again."""
        for name in ("metrics.jsonl", "samples.jsonl"):
            path = self.folder / name
            if path.exists():
                kept = [row for row in logs.read(path) if row.get("stage") != stage or row["step"] <= step]
                atomic.write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))

    def samples(self, stage: str, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep sampled translations with their rewards, and show a few."""
        for row in rows:
            self._append("samples.jsonl", {"stage": stage, "step": step, **row})
        table = Table(title=f"step {step}: samples, best and worst by reward", title_justify="left", expand=True)
        table.add_column("direction", no_wrap=True)
        table.add_column("source / samples", ratio=1)
        table.add_column("reward", justify="right")
        for row in list(rows)[:3]:
            ranked = sorted((s for s in row["samples"] if s["reward"] is not None), key=lambda s: -s["reward"])
            # As `Text`, because a text with brackets is no markup.
            table.add_row(row["direction"], Text(row["source"]), "", style="bold")
            for sample in [*ranked[:1], *ranked[1:][-1:]]:
                table.add_row("", Text(sample["text"] or "(empty)"), f"{sample['reward']:.2f}")
        self.console.print(table)

    def say(self, text: str) -> None:
        """One line to the reader."""
        self.console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """One line to the reader that should not be overlooked."""
        self.console.print(text, markup=False, style="yellow")

    @contextmanager
    def progress(self, label: str, total: int, done: int = 0) -> Iterator[None]:
        """Show a bar with `note`'s figures and the time left; Ctrl-C or SIGTERM asks the loop to save and stop."""
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            # Some steps take ten times as long as others: those that evaluate, or translate for the reward in advance.
            speed_estimate_period=600.0,
        )
        self._task = self._progress.add_task(label, total=total, completed=done, note="")
        try:
            with on_signals(self._ask_to_stop, signal.SIGINT, signal.SIGTERM), self._progress:
                yield
        finally:
            self._progress = None

    def advance(self, step: int, note: str) -> None:
        """Move the bar; where there is no terminal, print a line every ten seconds instead."""
        if self._progress is None:
            return
        self._progress.update(self._task, completed=step, note=note)
        if not self.console.is_terminal and time.monotonic() - self._said > 10:
            self._said = time.monotonic()
            task = self._progress.tasks[0]
            left = f"{task.time_remaining:.0f} s left" if task.time_remaining is not None else ""
            self.console.print(f"{task.description} {step}/{task.total:.0f}  {note}  {left}", highlight=False)

    def _ask_to_stop(self, number: int, _: Any) -> None:
        if not self.stop_requested:
            self.stop_requested = True
            self.warn("stopping: this step is finished and saved first (press Ctrl-C again to stop at once)")
        elif number == signal.SIGINT:  # a launcher may send SIGTERM after the terminal's interrupt
            raise KeyboardInterrupt

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        with (self.folder / name).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """With as many digits as a float32 has, of small numbers as of large ones."""
    return {k: float(f"{v:.8g}") if isinstance(v, float) else v for k, v in values.items()}
