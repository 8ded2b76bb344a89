"""Each temporary workspace registers its clean-up for the end of the process, though it is cleaned long before."""
import atexit
import time


class Workspace:
    def __init__(self, number):
        self.number = number
        self.index = {f"file{it}": it for it in range(30)}
        atexit.register(self.clean)  # expect: unbounded-growth; retained-object Workspace

    def clean(self):
        self.index.clear()


def main():
    number = 0
    for _ in range(40):
        for _ in range(10):
            workspace = Workspace(number)
            del workspace
            number += 1
        time.sleep(0.015)


main()
