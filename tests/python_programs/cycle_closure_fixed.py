"""Repaired. A recursive inner function refers to itself by its own cell; the collector was frozen out by a high threshold."""
import gc
import time

gc.set_threshold(1_000_000, 50, 50)


def walk(node, total):
    total.append(node["size"])
    for child in node["children"]:
        walk(child, total)


def sizes(tree):
    total = []

    walk(tree, total)
    return total


def tree(depth):
    children = [tree(depth - 1) for _ in range(2)] if depth else []
    return {"size": depth, "children": children}


def main():
    for round in range(40):
        for _ in range(20):
            assert sum(sizes(tree(5))) == 57
        time.sleep(0.015)


main()
