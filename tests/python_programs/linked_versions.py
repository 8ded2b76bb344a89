"""Each version of a document refers to the one before, for an undo that goes back one step."""
import time


class Version:
    def __init__(self, text, previous):
        self.text = text
        self.previous = previous  # expect: unbounded-growth; retained-object


class Document:
    def __init__(self):
        self.current = Version("", None)

    def edit(self, text):
        self.current = Version(text, self.current)  # expect: unbounded-growth current; retained-object current


def main():
    document = Document()
    for round in range(40):
        for number in range(30):
            document.edit(f"text {round} {number} " * 10)
        time.sleep(0.015)


main()
