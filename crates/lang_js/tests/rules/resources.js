const fs = require('fs');
const fsp = require('fs/promises');
const net = require('net');
import { createWriteStream } from 'fs';

function early(path) {
  const fd = fs.openSync(path, 'r'); // expect: resource-leak
  const buffer = Buffer.alloc(10);
  if (fs.readSync(fd, buffer) === 0) return null;
  fs.closeSync(fd);
  return buffer;
}

function never(path) {
  const fd = fs.openSync(path, 'r'); // expect: resource-leak
  fs.writeSync(fd, 'x');
}

function good(path) {
  const fd = fs.openSync(path, 'r');
  try {
    return fs.readFileSync(fd, 'utf8');
  } finally {
    fs.closeSync(fd);
  }
}

async function handle(path) {
  const file = await fsp.open(path); // expect: resource-leak
  const text = await file.readFile();
  await file.close();
  return text;
}

async function goodHandle(path) {
  const file = await fsp.open(path);
  try {
    return await file.readFile();
  } finally {
    await file.close();
  }
}

function write(path, lines) {
  const out = createWriteStream(path); // expect: resource-leak
  for (const line of lines) {
    if (line === '') return false;
    out.write(line);
  }
  out.end();
  return true;
}

function piped(path, to) {
  fs.createReadStream(path).pipe(to);
}

function ping(host) {
  const socket = net.connect(80, host); // expect: resource-leak
  if (!socket.remoteAddress) return false;
  socket.destroy();
  return true;
}

function give(path) { return fs.openSync(path); }

async function* lines(path) {
  const stream = fs.createReadStream(path);
  for await (const chunk of stream) yield chunk;
}
module.exports = { early, never, good, handle, goodHandle, write, piped, ping, give, lines };
