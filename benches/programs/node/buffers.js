// buffers.js ROUNDS: bytes are packed, hashed and unpacked: memory outside of the JavaScript heap.
const zlib = require("zlib");
const crypto = require("crypto");

let total = 0;
for (let turn = 0; turn < Number(process.argv[2]); turn++) {
  const parts = Array.from({ length: 64 }, (_, it) => Buffer.from(`part ${it} of ${turn}, `.repeat(64)));
  const packed = zlib.deflateSync(Buffer.concat(parts), { level: 1 });
  total += zlib.inflateSync(packed).length + parseInt(crypto.createHash("sha1").update(packed).digest("hex").slice(0, 2), 16);
}
console.log(total);
