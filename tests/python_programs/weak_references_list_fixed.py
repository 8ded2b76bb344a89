"""Repaired. Objects are known by weak references, so they do go; the list of references does not."""
import time
import weakref


class Sprite:
    every = []

    def __init__(self, x):
        self.x = x
        Sprite.every.append(weakref.ref(self, Sprite.every.remove))

    @classmethod
    def alive(cls):
        return [it for ref in cls.every if (it := ref()) is not None]


def main():
    for round in range(40):
        sprites = [Sprite(x) for x in range(60)]
        assert len(Sprite.alive()) >= 60
        del sprites
        time.sleep(0.015)


main()
