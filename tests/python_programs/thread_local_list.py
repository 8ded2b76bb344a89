"""A pool of threads; each keeps the statements of "this request" in a threading.local that is never reset."""
import threading
import time
from concurrent.futures import ThreadPoolExecutor

local = threading.local()


def execute(statement, *values):
    if not hasattr(local, "statements"):
        local.statements = []
    local.statements.append((statement, values, time.time()))  # expect: unbounded-growth[list] statements


def request(number):
    execute("select * from users where id = ?", number)
    execute("update visits set at = ? where id = ?", time.time(), number)
    return len(local.statements)


def main():
    with ThreadPoolExecutor(max_workers=3) as pool:
        for round in range(40):
            list(pool.map(request, range(round * 50, round * 50 + 50)))
            time.sleep(0.015)


main()
