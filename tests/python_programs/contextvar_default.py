"""The trail of a request is a ContextVar whose default list is one list for all."""
import contextvars
import time

trail = contextvars.ContextVar("trail", default=[])


def step(name, value):
    trail.get().append((name, value, time.time()))  # expect: unbounded-growth[list] trail


def request(number):
    step("begin", number)
    step("read", number * 2)
    step("end", number * 3)


def main():
    number = 0
    for _ in range(40):
        for _ in range(40):
            contextvars.copy_context().run(request, number)
            number += 1
        time.sleep(0.015)


main()
