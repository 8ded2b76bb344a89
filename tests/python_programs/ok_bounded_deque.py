"""Correct: the last thousand measurements."""
import time
from collections import deque

recent = deque(maxlen=1000)


def measure(number):
    recent.append({"number": number, "value": number * 0.25, "raw": bytes(100)})
    return recent[0]["value"]


def main():
    for round in range(40):
        for number in range(100):
            measure(round * 100 + number)
        time.sleep(0.015)


main()
