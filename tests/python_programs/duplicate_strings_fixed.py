"""Repaired. A table of cities: each of 40,000 rows has its own copy of the names of 5 countries."""
import time

COUNTRIES = ["Republic of Austria", "Kingdom of Sweden", "Portuguese Republic", "Czech Republic", "Ireland (Eire)"]


names = {}


def rows():
    for number in range(40_000):
        yield f"{number};city {number};{COUNTRIES[number % 5]}"


def load():
    table = []
    for line in rows():
        number, city, country = line.split(";")
        country = names.setdefault(country, country)
        table.append((int(number), city, country))
    return table


def main():
    table = load()
    for _ in range(30):
        sum(row[0] for row in table[:1000])
        time.sleep(0.02)
    print(len(table))


main()
