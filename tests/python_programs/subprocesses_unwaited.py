"""Thumbnails are made by child processes that nobody waits for."""
import subprocess
import time


class Thumbnails:
    def __init__(self):
        self.started = []

    def make(self, name):
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # expect: resource-leak[process]
        child.stdin.write(name.encode())
        child.stdin.flush()
        self.started.append(child)


def main():
    thumbnails = Thumbnails()
    for number in range(25):
        thumbnails.make(f"picture{number}.png")
        time.sleep(0.02)
    for child in thumbnails.started:
        child.kill()


main()
