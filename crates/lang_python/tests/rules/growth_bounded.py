from collections import deque
import queue
import threading

LAST = []
STATE = {}
ALLOWED = {"a", "b"}
JOBS = queue.Queue()
RING = deque(maxlen=100)
ONCE = []
done = False


def trimmed(x):
    LAST.append(x)
    if len(LAST) > 10:
        LAST.pop(0)


def constant_keys(x):
    STATE["last"] = x
    STATE[type(x)] = x


def allowed_keys(k, v):
    if k in ALLOWED:
        STATE[k] = v


def modulo(i, v):
    STATE[i % 16] = v


def once(x):
    global done
    if done:
        return
    done = True
    ONCE.append(x)


class Window:
    def __init__(self):
        self.values = []
        self.sliced = []
        self.reset = []
        self.guarded = []
        self.ring = deque(maxlen=5)

    def add(self, x):
        self.values.append(x)
        self.values = self.values[-10:]
        self.sliced.append(x)
        del self.sliced[:-10]
        self.reset.append(x)
        if len(self.guarded) < 10:
            self.guarded.append(x)
        self.ring.append(x)

    def flush(self):
        out = self.reset
        self.reset = []
        return out


def produce(x):
    JOBS.put(x)


def consume():
    while True:
        print(JOBS.get())


threading.Thread(target=consume, daemon=True).start()
window = Window()
while True:
    line = input()
    trimmed(line)
    constant_keys(line)
    allowed_keys(line, 1)
    modulo(len(line), 1)
    once(line)
    window.add(line)
    window.flush()
    produce(line)
    RING.append(line)
    batch = []
    for word in line.split():
        batch.append(word)
