let connection = null;
let balance = 100;
const cache = new Map();

async function connect() {
  if (!connection) {
    connection = await open(); // expect: racy-shared-state
  }
  return connection;
}

let opening = null;
async function connectOnce() {
  if (!opening) {
    opening = open();
  }
  return await opening;
}

async function withdraw(amount) {
  if (balance >= amount) {
    await record(amount);
    balance -= amount; // expect: racy-shared-state
  }
}

class Counter {
  constructor() { this.total = 0; this.busy = false; this.started = false; }
  async add(id) {
    const before = this.total;
    const more = await load(id);
    this.total = before + more; // expect: racy-shared-state
  }
  async addGood(id) {
    const more = await load(id);
    this.total = this.total + more;
  }
  async run() {
    if (this.busy) return;
    this.busy = true;
    try {
      await load(1);
    } finally {
      this.busy = false;
    }
  }
  async again() {
    if (!this.client) {
      const client = await open();
      if (!this.client) this.client = client;
    }
    return this.client;
  }
}

async function locked(mutex, amount) {
  await mutex.acquire();
  if (balance >= amount) {
    await record(amount);
    balance -= amount;
  }
  mutex.release();
}

async function open() { return {}; }
async function record(it) { return it; }
async function load(id) { return id; }
module.exports = { connect, connectOnce, withdraw, Counter, locked };
