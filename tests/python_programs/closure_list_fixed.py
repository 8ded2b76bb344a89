"""Repaired. A decorator that keeps the durations of each call, for a page that nobody opens."""
import functools
import time


def timed(function):
    durations = []

    @functools.wraps(function)
    def wrapper(*args):
        begin = time.perf_counter()
        try:
            return function(*args)
        finally:
            durations.append((function.__name__, begin, time.perf_counter()))
            del durations[:-100]

    wrapper.average = lambda: sum(it[2] - it[1] for it in durations) / len(durations)
    return wrapper


@timed
def resize(width, height):
    return width * height // 2


def main():
    for round in range(40):
        for number in range(150):
            resize(number, round)
        time.sleep(0.015)


main()
