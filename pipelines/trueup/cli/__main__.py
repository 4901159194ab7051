"""Run `python -m trueup.cli` like the command `trueup`."""

import sys

from trueup.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
