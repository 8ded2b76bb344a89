const express = require('express');
const app = express();
const requests = [];
const cache = new Map();
const byUser = {};
let log = '';

app.get('/a', (req, res) => {
  requests.push(req.url); // expect: unbounded-growth
  byUser[req.user.id] = req.body; // expect: unbounded-growth
  log += req.url; // expect: unbounded-growth
  res.json(lookup(req.query.key));
});

function lookup(key) {
  if (cache.has(key)) return cache.get(key);
  const value = key.split('').reverse().join('');
  cache.set(key, value); // expect: unbounded-growth
  return value;
}

setInterval(() => {
  samples.push(process.memoryUsage()); // expect: unbounded-growth
}, 1000);
const samples = [];

class Recorder {
  constructor() { this.events = []; }
  record(event) { this.events.push(event); } // expect: unbounded-growth
}
const recorder = new Recorder();
process.on('message', (it) => recorder.record(it));

const state = { seen: new Set(), list: [] };
function handler(req, res) {
  state.seen.add(req.id); // expect: unbounded-growth
  state.list = [...state.list, req.id]; // expect: unbounded-growth
}
app.use(handler);

function memoize(fn) {
  const known = new Map();
  return function (key) {
    if (!known.has(key)) known.set(key, fn(key)); // expect: unbounded-growth
    return known.get(key);
  };
}
module.exports = { memoize };
