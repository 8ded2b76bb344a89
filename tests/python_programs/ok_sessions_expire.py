"""Correct: sessions end after a while, so their number swings around a mean."""
import time

sessions = {}


def login(user):
    now = time.monotonic()
    for token in [it for it, session in sessions.items() if session["until"] < now]:
        del sessions[token]
    sessions[f"{user}-{now}"] = {"user": user, "until": now + 0.15, "pages": ["/login"]}


def main():
    for _ in range(60):
        for number in range(30):
            login(f"user{number}")
        time.sleep(0.012)


main()
