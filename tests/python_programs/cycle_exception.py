"""`failed = error` keeps the exception in a variable of a frame that the exception's traceback keeps."""
import gc
import time

gc.set_threshold(1_000_000, 50, 50)


def fetch(number):
    page = bytearray(3000)
    page[0] = number % 256
    raise ConnectionError(f"host {number}")


def attempt(number):
    failed = None
    try:
        fetch(number)
    except ConnectionError as error:
        failed = error  # expect: reference-cycle ConnectionError
    return failed is not None


def main():
    number = 0
    for _ in range(40):
        for _ in range(15):
            attempt(number)
            number += 1
        time.sleep(0.015)


main()
