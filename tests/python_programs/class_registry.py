"""A plugin system with a metaclass that registers each class; classes are made per upload."""
import time


class Registering(type):
    classes = {}

    def __init__(cls, name, bases, namespace):
        super().__init__(name, bases, namespace)
        Registering.classes[name] = cls  # expect: unbounded-growth[map|registry] classes


class Plugin(metaclass=Registering):
    def run(self, value):
        return value


def plugin_for(number):
    return Registering(f"Plugin{number}", (Plugin,), {"factor": number, "is_anonymous": True, "run": lambda self, value: value * self.factor})


def main():
    number = 0
    for _ in range(40):
        for _ in range(8):
            plugin_for(number)().run(3)
            number += 1
        time.sleep(0.015)


main()
