"""One column of each day's table is kept; the column is a view of the table's block."""
# needs: pandas
import time

import numpy
import pandas


class Archive:
    def __init__(self):
        self.days = {}

    def add(self, day, table):
        self.days[day] = table["a"]  # expect: unbounded-growth[map] days; retained-object days
        return table["b"].sum()


def main():
    archive = Archive()
    for day in range(80):
        table = pandas.DataFrame(numpy.full((2000, 6), float(day)), columns=list("abcdef"))
        archive.add(day, table)
        time.sleep(0.01)


main()
