"""The memoize decorator that is in every code base."""
import functools
import time


def memoize(function):
    results = {}

    @functools.wraps(function)
    def wrapper(*key):
        if key not in results:
            results[key] = function(*key)  # expect: unbounded-growth[map|cache] results
        return results[key]

    return wrapper


@memoize
def distance(x, y):
    return [(x * x + y * y) ** 0.5, x, y]


def main():
    for round in range(40):
        for number in range(100):
            distance(round + 0.5, number + 0.25)
        time.sleep(0.015)


main()
