"""`os.open` gives a number; nothing closes it when the number is forgotten."""
import os
import time


def is_directory_writable(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)  # expect: resource-leak[descriptor|file]
    return os.fstat(descriptor).st_mode & 0o200 != 0


def main():
    for _ in range(40):
        is_directory_writable("/tmp")
        time.sleep(0.015)


main()
