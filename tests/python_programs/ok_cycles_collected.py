"""Correct: trees with parents, which the cycle collector frees as it goes."""
import time


class Node:
    def __init__(self, name, parent=None):
        self.name = name
        self.children = []
        self.parent = parent
        if parent:
            parent.children.append(self)


def main():
    for round in range(40):
        for number in range(40):
            root = Node(f"document{round}-{number}")
            for part in range(5):
                Node(f"part{part}", root)
        time.sleep(0.015)


main()
