"""`python -m eclectus`: the command line."""

from eclectus.cli.app import main

main()
