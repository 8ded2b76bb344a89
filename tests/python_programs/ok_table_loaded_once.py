"""Correct: a big table is loaded at the start and read from then on."""
import time


def load():
    return {f"word{number}": (number, number / 7, [number]) for number in range(20_000)}


def main():
    table = load()
    for round in range(40):
        sum(table[f"word{number * round}"][0] for number in range(400))
        time.sleep(0.015)


main()
