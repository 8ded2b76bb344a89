"""The mean of each image and its first row are kept; the row is a view of the whole image."""
# needs: numpy
import time

import numpy

rows = []


def process(image):
    rows.append(image[0])  # expect: unbounded-growth[list] rows; retained-object rows
    return image.mean()


def main():
    for round in range(40):
        for number in range(4):
            process(numpy.full((64, 256), float(number)))
        time.sleep(0.015)


main()
