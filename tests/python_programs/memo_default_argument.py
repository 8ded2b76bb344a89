"""A dict as default argument is made once, and serves as a memory of all prices that were ever asked for."""
import time


def price(article, amount, _known={}):
    key = (article, amount)
    if key not in _known:
        _known[key] = {"net": amount * 1.19, "text": f"{amount} of {article}"}  # expect: unbounded-growth[map|cache] _known
    return _known[key]


def main():
    for round in range(40):
        for number in range(60):
            price(f"article-{number}", round * 60 + number)
        time.sleep(0.015)


main()
