"""Make the virtual environment `.venv` in this folder and install requirements.txt into it.

Run it with the Python that the environment shall have: python make_environment.py
"""

import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    venv.create(FOLDER / ".venv", with_pip=True, clear=True)
    python = FOLDER / ".venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    subprocess.run([python, "-m", "pip", "install", "-r", FOLDER / "requirements.txt"], check=True)


if __name__ == "__main__":
    main()
