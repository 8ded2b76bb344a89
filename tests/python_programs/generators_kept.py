"""Pages of a search are generators; those that are not read to their end are kept in case the user comes back."""
import time


class Search:
    def __init__(self):
        self.cursors = []

    def results(self, word):
        found = [f"{word} {number}" for number in range(80)]
        for at in range(0, len(found), 10):
            yield found[at : at + 10]

    def first_page(self, word):
        cursor = self.results(word)
        page = next(cursor)
        self.cursors.append(cursor)  # expect: unbounded-growth[list] cursors
        return page


def main():
    search = Search()
    for round in range(40):
        for number in range(15):
            search.first_page(f"word{round}-{number}")
        time.sleep(0.015)


main()
