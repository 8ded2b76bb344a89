"""threads.py ROUNDS: four threads that build lists, dicts and strings."""
import sys
import threading


def work(number, rounds, results):
    kept = {}
    for turn in range(rounds):
        words = [f"{number}-{turn}-{it}" for it in range(3000)]
        table = {word: (word.upper(), len(word), [it]) for it, word in enumerate(words)}
        kept[turn % 20] = [value for value in table.values() if value[1] % 2]
    results[number] = sum(map(len, kept.values()))


def main(rounds):
    results = [0] * 4
    threads = [threading.Thread(target=work, args=(it, rounds, results)) for it in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(results)


main(int(sys.argv[1]))
