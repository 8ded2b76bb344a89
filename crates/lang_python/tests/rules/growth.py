import threading
from collections import deque
import sys
CACHE = {}
SEEN = []
LIMITED = deque(maxlen=10)
CONST = {}
def lookup(k):
    if k not in CACHE:
        CACHE[k] = k * 2  # expect: unbounded-growth
    LIMITED.append(k)
    CONST["a"] = 1
    return CACHE[k]
class Rec:
    shared = []
    def __init__(self):
        self.hist = []
        self.trim = []
        self.ctor = []
        self.buf = ""
        self.fill()
    def fill(self):
        self.ctor.append(1)
    def record(self, x):
        self.hist.append(x)  # expect: unbounded-growth
        self.trim.append(x)
        if len(self.trim) > 5:
            del self.trim[:-5]
        self.shared.append(x)  # expect: unbounded-growth
    def run(self):
        while True:
            self.buf += "x"  # expect: unbounded-growth
            self.record(2)
def default(x, acc=[]):
    acc.append(x)  # expect: unbounded-growth
    return acc
def loop():
    l = []
    while True:
        l.append(input())  # expect: unbounded-growth
def make():
    h = []
    def cb(x):
        h.append(x)  # expect: unbounded-growth
    return cb
def setup_path(p):
    sys.path.insert(0, p)  # expect: unbounded-growth
Rec().run()
for i in range(10):
    lookup(i)
    setup_path(str(i))
