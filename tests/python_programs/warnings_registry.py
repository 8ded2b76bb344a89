"""A warning with a number in its text is a new one each time, and all that were shown are remembered."""
import time
import warnings

warnings.simplefilter("default")
warnings.showwarning = lambda *parts: None


def read(row):
    if row["price"] is None:
        warnings.warn(f"row {row['number']}: no price, taken as 0")  # expect: unbounded-growth[map|registry] __warningregistry__
        return 0
    return row["price"]


def main():
    number = 0
    for _ in range(40):
        for _ in range(40):
            read({"number": number, "price": None if number % 2 else number})
            number += 1
        time.sleep(0.015)


main()
