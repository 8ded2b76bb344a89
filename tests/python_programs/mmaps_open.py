"""Tiles of a map are mapped into memory, and the cache that should unmap them has no limit."""
import mmap
import os
import tempfile
import time


class Tiles:
    def __init__(self, folder):
        self.folder = folder
        self.mapped = {}

    def tile(self, number):
        path = os.path.join(self.folder, f"{number}.tile")
        with open(path, "wb") as file:
            file.write(bytes([number % 256]) * 8192)
        with open(path, "rb") as file:
            self.mapped[number] = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)  # expect: resource-leak[mapping]; unbounded-growth mapped
        return self.mapped[number][0]


def main():
    with tempfile.TemporaryDirectory() as folder:
        tiles = Tiles(folder)
        for number in range(60):
            tiles.tile(number)
            time.sleep(0.01)


main()
