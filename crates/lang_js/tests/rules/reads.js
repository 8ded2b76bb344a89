const fs = require('fs');
const { readFile } = require('fs').promises;

function count(path) {
  let count = 0;
  for (const line of fs.readFileSync(path, 'utf8').split('\n')) { // expect: eager-sequence
    if (line) count++;
  }
  return count;
}

async function find(path, word) {
  const text = await readFile(path, 'utf8');
  const lines = text.split(/\r?\n/); // expect: eager-sequence
  return lines.filter((it) => it.includes(word));
}

function words(text) {
  return text.split('\n').map((it) => it.trim());
}

function config(path) { return JSON.parse(fs.readFileSync(path, 'utf8')); }
module.exports = { count, find, words, config };
