"""Repaired. Each job wants its own log text, and adds a handler to the one logger of the module."""
import io
import logging
import time

logger = logging.getLogger("jobs")
logger.setLevel(logging.INFO)
logger.propagate = False


def run_job(number):
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logger.addHandler(handler)
    logger.info("job %d begins", number)
    logger.removeHandler(handler)
    return text.getvalue()


def main():
    number = 0
    for _ in range(30):
        for _ in range(8):
            run_job(number)
            number += 1
        time.sleep(0.015)


main()
