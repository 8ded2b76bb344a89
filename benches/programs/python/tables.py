"""tables.py ROUNDS: numpy arrays and pandas tables: grouped, merged, sorted, and strings made of them."""
import sys

import numpy
import pandas


def main(rounds):
    total = 0.0
    random = numpy.random.default_rng(7)
    for _ in range(rounds):
        table = pandas.DataFrame(
            {
                "key": random.integers(0, 200, 20_000),
                "a": random.random(20_000),
                "b": random.random(20_000),
                "word": [f"word{it % 500}" for it in range(20_000)],
            }
        )
        sums = table.groupby("key")[["a", "b"]].sum()
        merged = table.merge(sums, on="key", suffixes=("", "_sum"))
        merged["share"] = merged["a"] / merged["a_sum"]
        total += float(merged.sort_values("share")["share"].iloc[-10:].sum() * 0 + len(merged))
        total += len({it.upper() for it in table["word"].tolist()})
        matrix = random.random((300, 300))
        total += (matrix @ matrix.T).shape[0]
        for _ in range(200):
            total += int((random.random(1000) > 2).sum())
    print(total)


main(int(sys.argv[1]))
