const app = require('express')();
const recent = [];
const cache = new Map();
const counts = {};
const sessions = new Map();
let batch = [];
const routes = [];

function route(path) { routes.push(path); }
route('/a');
route('/b');

app.get('/a', (req, res) => {
  recent.push(req.url);
  if (recent.length > 100) recent.shift();
  if (cache.size >= 500) cache.delete(cache.keys().next().value);
  cache.set(req.url, req.body);
  counts[typeof req.body] = 1;
  batch.push(req.body);
  const chunks = [];
  req.on('data', (chunk) => chunks.push(chunk));
  req.on('end', () => res.send(Buffer.concat(chunks)));
  res.json({});
});

setInterval(() => { const all = batch; batch = []; console.log(all); }, 1000);

app.post('/login', (req, res) => { sessions.set(req.id, req.body); });
app.post('/logout', (req, res) => { sessions.delete(req.id); });

class Builder {
  constructor() { this.parts = []; }
  part(it) { this.parts.push(it); return this; }
  build() { return this.parts.join(''); }
}

function collect(items) {
  const out = [];
  items.forEach((it) => out.push(it * 2));
  return out;
}

const table = {};
['a', 'b'].forEach((name) => { table[name] = name.length; });

const weak = new WeakMap();
app.use((req, res, next) => { weak.set(req, Date.now()); next(); });

const ring = new Array(10);
let at = 0;
app.use((req, res, next) => { ring[at++ % 10] = req.url; next(); });

module.exports = { Builder, collect, table };
