"""Repaired. A job and its worker know each other, and the job frees a scratch file in `__del__`: later than anyone expects."""
import time


class Job:
    def __init__(self, number):
        self.scratch = bytearray(200_000)
        self.worker = Worker(self)
        self.number = number

    def __del__(self):
        self.scratch = None

    def close(self):
        self.worker.job = None


class Worker:
    def __init__(self, job):
        self.job = job

    def run(self):
        self.job.scratch[0] = self.job.number % 256


def main():
    number = 0
    for _ in range(40):
        for _ in range(3):
            job = Job(number)
            job.worker.run()
            job.close()
            number += 1
        time.sleep(0.015)


main()
