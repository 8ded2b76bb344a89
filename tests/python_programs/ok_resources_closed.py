"""Correct: files, sockets, connections and a child process, all closed."""
import os
import socket
import sqlite3
import subprocess
import tempfile
import time


def main():
    with tempfile.TemporaryDirectory() as folder:
        for round in range(20):
            path = os.path.join(folder, f"{round}.txt")
            with open(path, "w") as file:
                file.write("text")
            left, right = socket.socketpair()
            with left, right:
                left.sendall(b"hello")
                assert right.recv(5) == b"hello"
            connection = sqlite3.connect(":memory:")
            connection.execute("select 1")
            connection.close()
            os.unlink(path)
            time.sleep(0.02)
        subprocess.run(["true"], check=True)


main()
