"""documents.py ROUNDS: documents are built, written as JSON and read again."""
import json
import sys


def document(number):
    return {
        "id": number,
        "name": f"customer {number}",
        "active": number % 3 == 0,
        "orders": [
            {"article": f"article-{number * 7 + it}", "amount": it + 1, "price": it * 1.25, "tags": ["new", f"tag{it}"]}
            for it in range(12)
        ],
    }


def main(rounds):
    kept = []
    total = 0
    for turn in range(rounds):
        texts = [json.dumps(document(turn * 400 + it)) for it in range(400)]
        total += sum(map(len, texts))
        documents = [json.loads(it) for it in texts]
        kept = documents[::4]
    print(total, len(kept))


main(int(sys.argv[1]))
