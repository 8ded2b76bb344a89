"""calls.py ROUNDS: recursion that allocates little, and trees that are built, walked and dropped."""
import sys


class Node:
    def __init__(self, key):
        self.key = key
        self.left = None
        self.right = None


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def insert(node, key):
    if node is None:
        return Node(key)
    if key < node.key:
        node.left = insert(node.left, key)
    else:
        node.right = insert(node.right, key)
    return node


def depth(node):
    return 0 if node is None else 1 + max(depth(node.left), depth(node.right))


def main(rounds):
    total = 0
    state = 1
    for _ in range(rounds):
        total += fibonacci(20)
        root = None
        for _ in range(1500):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            root = insert(root, state >> 32)
        total += depth(root)
    print(total)


main(int(sys.argv[1]))
