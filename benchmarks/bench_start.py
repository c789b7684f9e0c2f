"""Seconds until the command line answers and until the package is imported, of 0.3 allowed, in new processes.

Python's own start, which no package can avoid, stands in the last row.
"""

from __future__ import annotations

import subprocess
import sys

from timing import heading, report, timed

ALLOWED, RUNS = 0.3, 15
STARTS = {
    "eclectus --help": ["-m", "eclectus", "--help"],
    "import eclectus": ["-c", "import eclectus"],
    "python itself": ["-c", "pass"],
}


def main() -> None:
    heading("allowed")
    seconds: dict[str, list[float]] = {name: [] for name in STARTS}
    for _ in range(RUNS):
        for name, arguments in STARTS.items():
            command = [sys.executable, *arguments]
            seconds[name].append(timed(lambda c=command: subprocess.run(c, check=True, capture_output=True))[0])
    for name, taken in seconds.items():
        report(name, [(value, ALLOWED) for value in taken], goal=None if name == "python itself" else 1.0)


if __name__ == "__main__":
    main()
