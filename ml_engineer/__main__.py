"""`python -m ml_engineer`. Python puts the current folder first on its path: that may be the target's, and goes."""

import sys

if sys.path and not sys.flags.safe_path:
    del sys.path[0]

from ml_engineer.interfaces.main import main

if __name__ == "__main__":
    main()
