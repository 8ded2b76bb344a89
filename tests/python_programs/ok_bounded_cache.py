"""Correct: the least recently used entry goes."""
import time
from collections import OrderedDict


class Cache:
    def __init__(self, size):
        self.size = size
        self.entries = OrderedDict()

    def get(self, key):
        if key in self.entries:
            self.entries.move_to_end(key)
            return self.entries[key]
        value = self.entries[key] = {"key": key, "square": key * key, "text": str(key) * 10}
        if len(self.entries) > self.size:
            self.entries.popitem(last=False)
        return value


def main():
    cache = Cache(300)
    for round in range(40):
        for number in range(100):
            cache.get(round * 60 + number)
        time.sleep(0.015)


main()
