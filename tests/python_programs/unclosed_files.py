"""A tool that follows log files, and opens each once more whenever it looks for news."""
import os
import tempfile
import time


class Follower:
    def __init__(self, path):
        self.path = path
        self.offset = 0
        self.handles = []

    def news(self):
        handle = open(self.path)  # expect: resource-leak[file]
        self.handles.append(handle)
        handle.seek(self.offset)
        lines = handle.readlines()
        self.offset = handle.tell()
        return lines


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "service.log")
        follower = Follower(path)
        for round in range(30):
            with open(path, "a") as log:
                log.write(f"round {round}\n" * 10)
            follower.news()
            time.sleep(0.015)


main()
