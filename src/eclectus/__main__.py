"""`python -m eclectus`: the command line."""

from eclectus.cli import main

main()
