"""Repaired. A dict as default argument is made once, and serves as a memory of all prices that were ever asked for."""
import time


def price(article, amount):
    return {"net": amount * 1.19, "text": f"{amount} of {article}"}


def main():
    for round in range(40):
        for number in range(60):
            price(f"article-{number}", round * 60 + number)
        time.sleep(0.015)


main()
