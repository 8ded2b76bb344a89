"""Correct: words of a language of 2,000 words, each kept once."""
import sys
import time

WORDS = 2000


def words(round):
    return [sys.intern("".join(["word", str((round * 37 + it) % WORDS)])) for it in range(500)]


def main():
    vocabulary = set()
    for round in range(40):
        vocabulary.update(words(round))
        time.sleep(0.015)
    print(len(vocabulary))


main()
