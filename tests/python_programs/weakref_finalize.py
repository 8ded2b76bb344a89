"""The clean-up of an object is registered with the object as its argument: so it never comes."""
import time
import weakref


class Page:
    def __init__(self, number):
        self.number = number
        self.text = "lorem ipsum " * 100 + str(number)


def release(page):
    page.text = None


def open_page(number):
    page = Page(number)
    weakref.finalize(page, release, page)  # expect: unbounded-growth _registry; retained-object _registry
    return page


def main():
    number = 0
    for _ in range(40):
        for _ in range(15):
            open_page(number)
            number += 1
        time.sleep(0.015)


main()
