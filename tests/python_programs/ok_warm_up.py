"""Correct: an index of 1,500 entries fills while the first requests come, and is all there is."""
import time

index = {}


def lookup(number):
    if number not in index:
        index[number] = [f"document {number} {it}" for it in range(3)]
    return index[number]


def main():
    state = 7
    for _ in range(40):
        for _ in range(300):
            state = state * 1103515245 + 12345 & 0x7FFFFFFF
            lookup((state >> 8) % 1500)
        time.sleep(0.015)


main()
