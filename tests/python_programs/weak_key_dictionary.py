"""Notes about nodes in a WeakKeyDictionary, and each note refers to its node."""
import time
import weakref

notes = weakref.WeakKeyDictionary()


class Node:
    def __init__(self, name):
        self.name = name


def annotate(node):
    notes[node] = {"node": node, "text": f"note about {node.name}", "tags": [node.name]}  # expect: unbounded-growth notes; retained-object notes


def main():
    for round in range(40):
        for number in range(40):
            annotate(Node(f"n{round}-{number}"))
        time.sleep(0.015)


main()
