"""Repaired. The clean-up of an object is registered with the object as its argument: so it never comes."""
import time
import weakref

released = [0, 0, 0, 0]


class Page:
    def __init__(self, number):
        self.number = number
        self.text = "lorem ipsum " * 100 + str(number)


def release(number):
    released[number % 4] += 1


def open_page(number):
    page = Page(number)
    weakref.finalize(page, release, number)
    return page


def main():
    number = 0
    for _ in range(40):
        for _ in range(15):
            open_page(number)
            number += 1
        time.sleep(0.015)


main()
