"""A mock object stands in for the mail server in the staging system; a mock remembers each call."""
import time
from unittest import mock

server = mock.Mock()


def notify(user, text):
    server.send(user, subject="news", body=text * 5)  # expect: unbounded-growth[list] mock_calls; unbounded-growth[list] call_args_list


def main():
    for round in range(40):
        for number in range(10):
            notify(f"user{number}", f"message {number} of {round}")
        time.sleep(0.015)


main()
