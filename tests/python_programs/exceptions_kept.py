"""Failures are kept for a summary; an exception keeps its traceback, and that the frames with all their variables."""
import time

failures = []


def parse(document):
    words = document.split()
    table = {word: len(word) for word in words}
    if "broken" in table:
        raise ValueError("broken document")
    return table


def handle(number):
    document = " ".join(f"word{number}_{i}" for i in range(60)) + " broken"
    try:
        parse(document)
    except ValueError as error:
        failures.append(error)  # expect: unbounded-growth[list] failures


def main():
    number = 0
    for _ in range(40):
        for _ in range(15):
            handle(number)
            number += 1
        time.sleep(0.015)


main()
