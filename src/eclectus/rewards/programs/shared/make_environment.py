"""Make the virtual environment `.venv` in this folder and install requirements.txt into it.

Run it with the Python that the environment shall have: python make_environment.py
"""

import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    python = FOLDER / ".venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    try:
        venv.create(FOLDER / ".venv", with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-r", FOLDER / "requirements.txt"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(
            f"make_environment: {FOLDER / '.venv'} is not ready ({error}); look at pip's last lines above, check the "
            "network and that requirements.txt allows this version of Python, and run this again"
        )


if __name__ == "__main__":
    main()
