"""`python -m pamm` is the `pamm` command."""

from pamm.cli import main

main()
