"""A method's results are cached, and with them the object, as `self` is part of the key."""
import functools
import time


class Report:
    def __init__(self, number):
        self.number = number
        self.rows = [(number, row, row * 1.5) for row in range(40)]

    @functools.lru_cache(maxsize=None)  # expect: unbounded-growth[cache|map] total
    def total(self, factor):
        return sum(row[2] for row in self.rows) * factor


def main():
    for round in range(40):
        for number in range(25):
            Report(round * 25 + number).total(1.2)  # expect: unbounded-growth[cache|map] total
        time.sleep(0.015)


main()
