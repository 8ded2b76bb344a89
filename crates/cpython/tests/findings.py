"""Containers that grow, garbage, equal content; what it is told to do comes by standard input."""

import collections
import ctypes
import functools
import gc
import sys
import threading

gc.disable()

CACHE = {}
QUEUE = collections.deque()


class Session:
    def __init__(self, number):
        self.number = number
        self.data = bytearray(200)


class Service:
    def __init__(self):
        self.handlers = []
        self.seen = set()

    def handle(self, number):
        self.handlers.append(Session(number))
        self.seen.add("seen %d" % number)


class Node:
    def __init__(self):
        self.children = []

    def add(self, child):
        child.parent = self
        self.children.append(child)


class Finalized:
    def __init__(self):
        self.me = self

    def __del__(self):
        pass


@functools.lru_cache(maxsize=None)
def compute(number):
    return [number] * 10


def remember(number):
    CACHE["key %d" % number] = Session(number)
    QUEUE.append([number])


def registered(callback):
    def forget():
        return callback, forget

    forget.payload = bytearray(100)


def main():
    service = Service()
    local = []
    rows = []
    number = 0
    for line in sys.stdin:
        for _ in range(int(line)):
            number += 1
            service.handle(number)
            remember(number)
            compute(number)
            local.append({"number": number})
            rows.append(("".join(["Aus", "tria"]), number % 3))
            parent = Node()
            parent.add(Node())
            Finalized()
            registered(len)
            threading.local().value = number
        del parent
        print("done", ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime")), sys.hexversion, flush=True)


main()
