"""Compiled patterns are kept by their text, and the text comes from the users."""
import re
import time

compiled = {}


def search(user_text, document):
    if user_text not in compiled:
        compiled[user_text] = re.compile(re.escape(user_text) + r"\b")  # expect: unbounded-growth[map|cache] compiled
    return compiled[user_text].search(document) is not None


def main():
    number = 0
    for _ in range(30):
        for _ in range(12):
            search(f"word {number}", "a document with some words")
            number += 1
        time.sleep(0.015)


main()
