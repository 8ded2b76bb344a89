"""``python3 -m heapwise`` is ``heapwise``."""

import os
import sys

from . import _binary

if __name__ == "__main__":
    binary = _binary.find()
    os.execv(binary, [binary, *sys.argv[1:]])
