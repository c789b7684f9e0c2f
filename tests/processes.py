"""Python commands in processes of their own, which see the code of this checkout."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def command(*arguments):
    """What `subprocess` is told: a command on one thread that imports from the folder it runs in."""
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "src", ".")))}
    return {"args": [sys.executable, "-m", *map(str, arguments)], "env": environment, "text": True}


def finished(folder, *arguments):
    """Run a command in a folder to its end; what it printed is kept."""
    return subprocess.run(**command(*arguments), cwd=folder, capture_output=True, check=False, timeout=600)
