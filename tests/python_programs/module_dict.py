"""A login service. Sessions are looked up by token."""
import secrets
import time

SESSIONS = {}


class Session:
    def __init__(self, user):
        self.user = user
        self.since = time.time()
        self.pages = ["/login"]


def login(user):
    token = secrets.token_hex(16)
    SESSIONS[token] = Session(user)  # expect: unbounded-growth[map] SESSIONS
    return token


def visit(token, page):
    SESSIONS[token].pages.append(page)


def main():
    for round in range(40):
        for request in range(60):
            token = login(f"user{request % 25}")
            visit(token, "/inbox")
            visit(token, "/settings")
        time.sleep(0.015)


main()
