"""Repaired. A mock object stands in for the mail server in the staging system; a mock remembers each call."""
import time
from unittest import mock

server = mock.Mock()
calls = 0


def notify(user, text):
    global calls
    server.send(user, subject="news", body=text * 5)
    calls += 1
    if calls % 20 == 0:
        server.reset_mock()


def main():
    for round in range(40):
        for number in range(10):
            notify(f"user{number}", f"message {number} of {round}")
        time.sleep(0.015)


main()
