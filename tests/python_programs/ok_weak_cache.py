"""Correct: a cache that keeps nothing alive."""
import time
import weakref


class Picture:
    def __init__(self, name):
        self.name = name
        self.pixels = bytearray(5000)


cache = weakref.WeakValueDictionary()


def picture(name):
    found = cache.get(name)
    if found is None:
        found = cache[name] = Picture(name)
    return found


def main():
    for round in range(40):
        shown = [picture(f"picture {round * 10 + it}") for it in range(30)]
        assert len(shown) == 30
        time.sleep(0.015)


main()
