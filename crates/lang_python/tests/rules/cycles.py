import weakref


class Child:
    def __init__(self, parent):
        self.parent = parent


class Parent:
    def __init__(self):
        self.child = Child(self)  # expect: reference-cycle
        self.work = lambda: self.child  # expect: reference-cycle

    def __del__(self):
        print("gone")

    def run(self):
        try:
            self.work()
        except ValueError as error:
            self.error = error  # expect: reference-cycle


class WeakChild:
    def __init__(self, parent):
        self.parent = weakref.ref(parent)


class WeakParent:
    def __init__(self):
        self.child = WeakChild(self)
        self.count = 0

    def __del__(self):
        print("gone")


class Broken:
    def __init__(self):
        self.child = BrokenChild(self)

    def close(self):
        self.child = None

    def __del__(self):
        print("gone")


class BrokenChild:
    def __init__(self, owner):
        self.owner = owner


def total(items):
    if not items:
        return 0
    return items[0] + total(items[1:])  # expect: deep-nesting


def length(node):
    if node is None:
        return 0
    return 1 + length(node.next)  # expect: deep-nesting


def nested(lines):
    chain = []
    for line in lines:
        chain = [line, chain]  # expect: deep-nesting
    return chain


def flat(node):
    count = 0
    while node is not None:
        count += 1
        node = node.next
    return count


def tree(node):
    for child in node.children:
        tree(child)
