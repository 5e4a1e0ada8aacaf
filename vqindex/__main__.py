"""python -m vqindex"""

import sys

from vqindex.cli import main

if __name__ == "__main__":
    sys.exit(main())
