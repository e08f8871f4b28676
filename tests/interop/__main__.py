"""Compares local-vault with the published package, command by command, and lets each read what the other wrote.

Run by ci/interop, with the Python of an environment in which the published package is installed.
"""

import argparse
import sys
from pathlib import Path

import drain
import keys
import moving
import proofs
import spooling
import witness
from ledger import Ledger
from twins import Workshop


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binaries", type=Path, required=True, help="the folder that holds our two binaries")
    parser.add_argument("--work", type=Path, required=True, help="a folder to make and to work in")
    parser.add_argument("--only", help="one section alone")
    options = parser.parse_args()
    options.work.mkdir(parents=True)

    ledger = Ledger()
    workshop = Workshop(options.binaries.resolve(), options.work.resolve(), ledger)
    for section in (keys, spooling, drain, witness, proofs, moving):
        if options.only in (None, section.__name__):
            section.run(workshop)
    return ledger.close(complete=options.only is None)


if __name__ == "__main__":
    sys.exit(main())
