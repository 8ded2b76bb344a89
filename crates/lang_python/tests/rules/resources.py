import serial, socket, threading
import matplotlib.pyplot as plt
import subprocess
lock = threading.Lock()
def a(p):
    f = open(p)  # expect: resource-leak
    if f.read() == "":
        return False
    f.close()
    return True
def b(p):
    f = open(p)
    try:
        return f.read()
    finally:
        f.close()
def c(p):
    with open(p) as f:
        return f.read()
def d():
    s = socket.socket()  # expect: resource-leak
    s.connect(("a", 1))
    if not s.recv(1):
        return None
    s.close()
    return 1
class Dev:
    def open(self):
        self.port = serial.Serial("x")  # expect: resource-leak
        if not self.port.read():
            return False
        return True
    def close(self):
        self.port.close()
    def good(self):
        self.port = serial.Serial("x")
        if not self.port.read():
            self.port.close()
            return False
        return True
def fig(x):
    plt.figure()  # expect: resource-leak
    plt.plot(x)
    plt.savefig("a")
def fig2(x):
    f, ax = plt.subplots()
    ax.plot(x)
    f.savefig("a")
    plt.close(f)
def g(p):
    f = open(p)
    use(f)
def h(p):
    return open(p).read()  # expect: resource-leak
def l(x):
    lock.acquire()  # expect: resource-leak
    if x:
        return
    lock.release()
def l2(x):
    lock.acquire()
    try:
        return x()
    finally:
        lock.release()
def m(p):
    f = None
    try:
        f = open(p)
        f.read()
    finally:
        if f is not None:
            f.close()
def n(ps):
    for p in ps:
        f = open(p)  # expect: resource-leak
        f.write("x")
def o(p):
    f = open(p)  # expect: resource-leak
    d = f.read()
    f.close()
    return d


class Loop:
    def connect(self, address):
        sock = socket.socket()
        try:
            sock.bind(address)
        except OSError:
            sock.close()
            raise
        return self._transport(sock)

    def _transport(self, sock):
        raise NotImplementedError

    def listen(self, address):
        sock = socket.socket()
        return self._server(sock)

    def _server(self, sock):
        return None


class SelectorLoop(Loop):
    def _server(self, sock):
        self.servers = [sock]
