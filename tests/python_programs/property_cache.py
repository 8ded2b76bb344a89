"""A cache keyed by `id(object)`: the object goes, the entry stays."""
import time

outlines = {}


class Shape:
    def __init__(self, corners):
        self.corners = corners
        self.number = Shape.made = Shape.made + 1

    made = 0

    def outline(self):
        if self.number not in outlines:
            outlines[self.number] = [(x + 0.5, y + 0.5) for x, y in self.corners]  # expect: unbounded-growth[map|cache] outlines
        return outlines[self.number]


def main():
    for _ in range(40):
        for number in range(30):
            Shape([(number, it) for it in range(4)]).outline()
        time.sleep(0.015)


main()
