// documents.js ROUNDS: documents are built, written as JSON and read again.
const document = (number) => ({
  id: number,
  name: `customer ${number}`,
  active: number % 3 === 0,
  orders: Array.from({ length: 12 }, (_, it) => ({
    article: `article-${number * 7 + it}`, amount: it + 1, price: it * 1.25, tags: ["new", `tag${it}`],
  })),
});

let kept = [];
let total = 0;
for (let turn = 0; turn < Number(process.argv[2]); turn++) {
  const texts = Array.from({ length: 400 }, (_, it) => JSON.stringify(document(turn * 400 + it)));
  total += texts.reduce((sum, it) => sum + it.length, 0);
  kept = texts.map((it) => JSON.parse(it)).filter((_, at) => at % 4 === 0);
}
console.log(total, kept.length);
