import threading, functools
from concurrent.futures import ThreadPoolExecutor
lock = threading.Lock()
conn = None
safe = None
count = 0
table = {}
def get():
    global conn
    if conn is None:
        conn = object()  # expect: racy-lazy-init
    return conn
def get_safe():
    global safe
    with lock:
        if safe is None:
            safe = object()
    return safe
def work(x):
    global count
    get(); get_safe()
    count += 1  # expect: racy-shared-state
    table[x] = 1  # expect: unbounded-growth
def show():
    for k in table:  # expect: racy-shared-state
        print(k)
class W:
    def __init__(self):
        self.running = True
        self.items = []
        self.ok = []
        self.lock = threading.Lock()
        self.t = threading.Thread(target=self.loop)  # expect: thread-never-stopped
        self.t.start()
    def loop(self):
        while self.running:
            self.items.append(1)
            self.items.pop()
            with self.lock:
                self.ok.append(1)
                self.ok.pop()
    def look(self):
        with self.lock:
            for o in self.ok: print(o)
        for i in self.items:  # expect: racy-shared-state
            print(i)
    @functools.lru_cache(maxsize=None)  # expect: unbounded-growth
    def slow(self, x):
        return x
def forever():
    while True:
        pass
pool = ThreadPoolExecutor(4)
for i in range(10):
    pool.submit(work, i)
show()
threading.Thread(target=forever).start()  # expect: thread-never-stopped
W()
def r(p):
    with open(p) as f:
        for l in f.readlines(): print(l)  # expect: eager-sequence
    return any([x > 1 for x in p])  # expect: eager-sequence
