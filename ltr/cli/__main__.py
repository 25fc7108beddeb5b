"""``python -m ltr.cli``: the same command line without an installed script."""

from ltr.cli import main

main()
