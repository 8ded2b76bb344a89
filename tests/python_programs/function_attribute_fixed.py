"""Repaired. A counter on a function became a list on a function."""
import time


def convert(amount, currency):
    result = amount * convert.rates.get(currency, 1.0)
    convert.log.append((amount, currency, result))
    del convert.log[:-100]
    return result


convert.rates = {"sek": 0.09, "usd": 0.93}
convert.log = []


def main():
    for round in range(40):
        for number in range(100):
            convert(number + round / 10, "sek")
        time.sleep(0.015)


main()
