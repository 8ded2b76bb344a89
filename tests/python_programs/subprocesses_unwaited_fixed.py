"""Repaired. Thumbnails are made by child processes that nobody waits for."""
import subprocess
import time


class Thumbnails:
    def __init__(self):
        self.started = []

    def make(self, name):
        done = subprocess.run(["cat"], input=name.encode(), stdout=subprocess.PIPE)
        self.started.append(len(done.stdout))


def main():
    thumbnails = Thumbnails()
    for number in range(25):
        thumbnails.make(f"picture{number}.png")
        time.sleep(0.02)


main()
