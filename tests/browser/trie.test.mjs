// The page's trees against naive twins, without a browser: data.js runs here as it is.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";
import { inflateSync } from "node:zlib";
import { samples } from "./pages.mjs";

const { report: REPORT_HTML, hostile: HOSTILE_HTML, big: BIG_HTML } = samples();
const env = { REPORT_HTML, HOSTILE_HTML, BIG_HTML };

const source = readFileSync(new URL("../../crates/report/src/html/data.js", import.meta.url), "utf8");
const { Trie, METRICS } = vm.runInThisContext(`(() => { "use strict"; ${source}; return { Trie, METRICS }; })()`);

function trieOf(file) {
  const packed = /id="trie-data">([^<]*)</.exec(readFileSync(file, "utf8"))[1];
  return new Trie(new Uint8Array(inflateSync(Buffer.from(packed, "base64"))));
}

/** Each node's own value by its path of places, outermost first. */
function stacks(trie, { start }) {
  const path = [];
  const found = [];
  for (let node = 1; node < trie.count; node++) {
    path.length = trie.depth[node] - 1;
    path.push(trie.place[node]);
    if (start[node + 1] > start[node]) found.push([[...path], start[node + 1] - start[node]]);
  }
  return found;
}

/** What each path of a shown tree costs with everything below it. */
function totals(view) {
  const path = [];
  const found = new Map();
  for (let node = 1; node < view.count; node++) {
    path.length = view.depth[node] - 1;
    path.push(view.place[node]);
    const value = view.start[view.end[node]] - view.start[node];
    if (value > 0) found.set(path.join(" "), value);
  }
  return found;
}

function naiveTotals(list) {
  const found = new Map();
  for (const [path, value] of list) {
    for (let length = 1; length <= path.length; length++) {
      const key = path.slice(0, length).join(" ");
      found.set(key, (found.get(key) ?? 0) + value);
    }
  }
  return found;
}

for (const name of ["REPORT_HTML", "HOSTILE_HTML"]) {
  test(`both directions hold every stack: ${name}`, { skip: !env[name] }, () => {
    const trie = trieOf(env[name]);
    for (const metric of METRICS) {
      const list = stacks(trie, trie.metric(metric));
      assert.deepEqual(totals(trie.callersFirst(metric)), naiveTotals(list), metric.id);
      const reversed = naiveTotals(list.map(([path, value]) => [[...path].reverse(), value]));
      const view = trie.inverted(metric, []);
      const shown = totals(view);
      const isRest = (key) => key.split(" ").includes(String(trie.leftOut));
      for (const [key, value] of shown) if (!isRest(key)) assert.equal(value, reversed.get(key), key);
      for (const [key, value] of reversed) if (value >= view.total / 20000) assert.ok(shown.has(key), key);
    }
  });
}

test("sites share out the whole", { skip: !env.REPORT_HTML }, () => {
  const trie = trieOf(env.REPORT_HTML);
  for (const metric of METRICS) {
    const { own } = trie.sites(metric);
    assert.equal(own.reduce((a, b) => a + b, 0), trie.metric(metric).total);
  }
});

test("a large inverted tree is bounded and loses nothing", { skip: !env.BIG_HTML }, () => {
  const trie = trieOf(env.BIG_HTML);
  const metric = METRICS.find(({ id }) => id === "allocated");
  const { start } = trie.metric(metric);
  const naive = new Float64Array(trie.places.count);
  for (let node = 1; node < trie.count; node++) naive[trie.place[node]] += start[node + 1] - start[node];
  const view = trie.inverted(metric, []);
  assert.ok(view.count < 500_000, `${view.count} nodes`);
  let sum = 0;
  for (let node = 1; node < view.count; node = view.end[node]) {
    const value = view.start[view.end[node]] - view.start[node];
    sum += value;
    if (view.place[node] !== trie.leftOut) assert.equal(value, naive[view.place[node]]);
  }
  assert.equal(sum, view.total);
  // Zoomed into, a group shows callers that were too small before.
  const focus = view.place[1];
  const zoomed = trie.inverted(metric, [focus]);
  const inside = (tree) => tree.end[tree.place.indexOf(focus)] - tree.place.indexOf(focus);
  assert.ok(inside(zoomed) > inside(view));
});
