import atexit
import logging
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

hits = 0
known = {}
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        global hits
        hits += 1  # expect: racy-shared-state
        self.log_path(self.path)
        with lock:
            if "hits" not in known:
                known["hits"] = 0

    def log_path(self, path):
        logger = logging.getLogger("access")
        logger.addHandler(logging.StreamHandler())  # expect: unbounded-growth
        logger.info(path)
        once = logging.getLogger("once")
        if not once.handlers:
            once.addHandler(logging.StreamHandler())
        if path not in sys.path:
            sys.path.append(path)  # expect: racy-shared-state
        atexit.register(print, path)  # expect: unbounded-growth


@dataclass
class State:
    items: list = field(default_factory=list)
    last: list = field(default_factory=list)


state = State()


def remember(item):
    state.items.append(item)  # expect: unbounded-growth
    state.last.append(item)
    del state.last[:-5]


class Counting:
    def count(self, item):
        self.counts.append(item)  # expect: unbounded-growth


class Service(Counting):
    def __init__(self):
        self.counts = []
        self.failed = []

    def run(self, receive, store):
        while True:
            item = receive()
            self.count(item)
            try:
                store(item)
            except ValueError:
                self.failed.append(item)  # expect: unbounded-growth


def tick():
    threading.Timer(1.0, tick).start()


def tock():
    print("tock")


def main(receive):
    threading.Timer(1.0, tick).start()  # expect: thread-never-stopped
    threading.Timer(1.0, tock).start()
    threading.Thread(target=ThreadingHTTPServer(("", 80), Handler).serve_forever, daemon=True).start()
    while True:
        remember(receive())
