"""A health check that connects, reads a line and forgets to close."""
import socket
import threading
import time


def serve(listener, stop):
    while not stop.is_set():
        try:
            peer, _ = listener.accept()
        except TimeoutError:
            continue
        with peer:
            peer.sendall(b"ok\n")


class HealthCheck:
    def __init__(self, address):
        self.address = address
        self.results = []

    def check(self):
        connection = socket.create_connection(self.address)  # expect: resource-leak[socket]
        answer = connection.recv(16)
        self.results.append((answer, connection))
        return answer == b"ok\n"


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    stop = threading.Event()
    thread = threading.Thread(target=serve, args=(listener, stop))
    thread.start()
    checker = HealthCheck(listener.getsockname())
    for _ in range(30):
        checker.check()
        time.sleep(0.015)
    stop.set()
    thread.join()
    listener.close()


main()
