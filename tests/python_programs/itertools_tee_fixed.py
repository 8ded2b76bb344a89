"""Repaired. Readings are split in two streams; the second is only read when there is an alarm, and there never is."""
import itertools
import time


def readings():
    number = 0
    while True:
        yield {"number": number, "value": number * 0.5}
        number += 1


class Monitor:
    def __init__(self):
        self.live = readings()
        self.replay = []

    def read(self):
        reading = next(self.live)
        self.replay = [*self.replay[-20:], reading]
        if reading["value"] < 0:
            print(list(itertools.islice(self.replay, 10)))


def main():
    monitor = Monitor()
    for _ in range(40):
        for _ in range(60):
            monitor.read()
        time.sleep(0.015)


main()
