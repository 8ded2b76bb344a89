"""A server that turned the cycle collector off for speed, and builds trees whose nodes know their parents."""
import gc
import time

gc.disable()


class Node:
    def __init__(self, name, parent=None):
        self.name = name
        self.children = []
        self.parent = parent  # expect: reference-cycle[uncollected] Node
        if parent:
            parent.children.append(self)


def parse(number):
    root = Node(f"document{number}")
    for part in range(5):
        Node(f"part{part}", root)  # expect: reference-cycle[uncollected] Node
    return len(root.children)


def main():
    number = 0
    for _ in range(40):
        for _ in range(20):
            parse(number)
            number += 1
        time.sleep(0.015)


main()
