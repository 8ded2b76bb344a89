"""Asking a defaultdict for a key that is not there puts it in."""
import time
from collections import defaultdict


class Limiter:
    def __init__(self):
        self.hits = defaultdict(list)

    def is_blocked(self, address):
        return len(self.hits[address]) > 100  # expect: unbounded-growth[map] hits


def main():
    limiter = Limiter()
    for round in range(40):
        for number in range(80):
            limiter.is_blocked(f"10.{round}.{number % 7}.{number}")
        time.sleep(0.015)


main()
