// Reads the two compressed blocks. Their formats are described in overview.rs and trie.rs.

/** The bytes of a block; the block's text leaves the page, so that it is not held twice. */
async function unpack(id) {
  const element = document.getElementById(id);
  const packed = fromBase64(element.textContent);
  element.remove();
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** A function that gives the next LEB128 number of `bytes` at each call. */
function numbers(bytes) {
  let at = 0;
  return () => {
    let byte = bytes[at++];
    if (byte < 128) return byte;
    let value = byte & 127;
    let scale = 128;
    do {
      byte = bytes[at++];
      value += (byte & 127) * scale;
      scale *= 128;
    } while (byte >= 128);
    return value;
  };
}

/** What can be shown of a stack. `blocks`: column with the number of blocks that goes with it. */
const METRICS = [
  { id: "lost", label: "Definitely lost", unit: "bytes", blocks: "lost_blocks" },
  { id: "peak", label: "Live at peak", unit: "bytes", blocks: "peak_blocks" },
  { id: "live", label: "Live at end", unit: "bytes", blocks: "live_blocks" },
  { id: "allocated", label: "Allocated bytes", unit: "bytes", blocks: "allocations" },
  { id: "allocations", label: "Allocations", unit: "allocations", blocks: null },
  { id: "temporary", label: "Temporary allocations", unit: "allocations", blocks: null },
];

/**
 * All stacks, callers first, in pre-order; node 0 is the root.
 *
 * `end[i]` is one past the last node below `i`, so a subtree is a range. Nodes of depth `d` are
 * `rows[rowStart[d] .. rowStart[d + 1]]`, ascending.
 */
class Trie {
  constructor(bytes) {
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
    this.columns = {};
    let at = 4 + length;
    for (const [name, size] of head.columns) {
      this.columns[name] = bytes.subarray(at, at + size);
      at += size;
    }
    this.count = head.nodes;
    this.stacks = head.stacks;
    this.strings = [...head.strings, "(smaller groups)"];
    // One more place, for what an inverted tree leaves out.
    this.leftOut = head.function.length;
    head.function.push(head.strings.length);
    for (const column of [head.path, head.line, head.module]) column.push(0);
    head.library.push(1);
    this.places = {
      count: head.function.length,
      function: Uint32Array.from(head.function),
      path: Uint32Array.from(head.path),
      line: Uint32Array.from(head.line),
      module: Uint32Array.from(head.module),
      library: Uint8Array.from(head.library),
    };
    this.readNodes();
    Object.assign(this, rowsOf(this.depth));
    // Sums of the metrics, decoded when first shown; only the last is kept, for it is large.
    this.shown = null;
  }

  readNodes() {
    const { count, columns, places } = this;
    const shape = numbers(columns.shape);
    const callee = numbers(columns.callee);
    this.depth = new Uint16Array(count);
    this.place = places.count < 65536 ? new Uint16Array(count) : new Uint32Array(count);
    this.end = new Uint32Array(count).fill(count);
    this.hasCost = new Uint8Array(count);
    const open = [0];
    const callees = Array.from({ length: places.count }, () => []);
    let unseen = 1;
    for (let node = 1; node < count; node++) {
      const code = shape();
      for (let up = Math.floor(code / 2); up > 0; up--) this.end[open.pop()] = node;
      this.hasCost[node] = code & 1;
      this.depth[node] = open.length;
      const known = callees[this.place[open[open.length - 1]]];
      const kind = callee();
      if (kind < 2) known.push(kind === 0 ? unseen++ : callee());
      this.place[node] = kind < 2 ? known[known.length - 1] : known[kind - 2];
      open.push(node);
    }
    columns.callee = null;
  }

  /**
   * The metric as sums: `start[i]` is the sum over all nodes before `i`, so that the subtree of `i`
   * has `start[end[i]] - start[i]`. `blocks` likewise, modulo 2^32.
   */
  metric(metric) {
    if (this.shown?.metric === metric) return this.shown;
    this.shown = null;
    const { count, columns, hasCost } = this;
    const start = new Float64Array(count + 1);
    const blocks = metric.blocks ? new Uint32Array(count + 1) : null;
    const allocations = numbers(columns.allocations);
    const allocated = numbers(columns.allocated);
    const partial = ["peak", "live", "lost"].includes(metric.id);
    const part = numbers(partial ? columns[metric.blocks] : columns.temporary);
    const rest = numbers(partial ? columns[metric.id] : columns.temporary);
    let sum = 0;
    let blockSum = 0;
    for (let node = 0; node < count; node++) {
      start[node] = sum;
      if (blocks) blocks[node] = blockSum;
      if (!hasCost[node]) continue;
      const calls = allocations();
      const size = allocated();
      const bytes = size % 2 ? (size - 1) / 2 : (size / 2) * calls;
      if (metric.id === "allocations") {
        sum += calls;
      } else if (metric.id === "temporary") {
        sum += portion(part(), calls);
      } else if (metric.id === "allocated") {
        sum += bytes;
        blockSum += calls;
      } else {
        const held = portion(part(), calls);
        const expected = held <= calls && calls > 0 ? Math.floor(bytes / calls) * held : 0;
        const code = rest();
        sum += expected + (code % 2 ? -(code + 1) / 2 : code / 2);
        blockSum += held;
      }
    }
    start[count] = sum;
    if (blocks) blocks[count] = blockSum;
    this.shown = { metric, start, blocks, total: sum };
    return this.shown;
  }

  /** Whether any stack has the metric, without decoding it. */
  has(metric) {
    // Bytes are coded as the difference to what the blocks let expect.
    const columns = [metric.id, metric.blocks ?? metric.id];
    return columns.some((name) => this.columns[name].some((byte) => byte !== 0));
  }

  name(place) {
    return place === 0 ? "all" : this.strings[this.places.function[place]];
  }

  /** `src/app.c:12`, or what is known of it. */
  where(place) {
    const path = this.strings[this.places.path[place]];
    const line = this.places.line[place];
    return path && line ? `${path}:${line}` : path;
  }

  module(place) {
    return this.strings[this.places.module[place]];
  }

  /** The shown tree with callers first. */
  callersFirst(metric) {
    const { start, blocks, total } = this.metric(metric);
    const { count, depth, place, end, rows, rowStart } = this;
    return { count, depth, place, end, rows, rowStart, start, blocks, total, metric };
  }

  /**
   * The shown tree with allocation sites first: groups of stacks that agree in their innermost
   * frames. Groups under 1/20,000 of what is zoomed into (`focus`, a list of places) are drawn as
   * one, which bounds the tree by what a screen can show.
   */
  inverted(metric, focus) {
    const { start, total } = this.metric(metric);
    const parent = this.parents();
    let members = 0;
    for (let node = 1; node < this.count; node++) if (start[node + 1] > start[node]) members++;
    const leaf = new Uint32Array(members);
    members = 0;
    for (let node = 1; node < this.count; node++) if (start[node + 1] > start[node]) leaf[members++] = node;
    const cursor = leaf.slice();
    const leafCopy = new Uint32Array(members);
    const cursorCopy = new Uint32Array(members);
    const groupOf = new Int32Array(this.places.count).fill(-1);

    const sets = { leaf, cursor, leafCopy, cursorCopy, groupOf, start };
    const out = { depth: [0], place: [0], start: [0], end: [0] };
    const open = [0];
    const pending = [];
    let least = total / 20000;
    const admit = (groups, depth, isOnPath, at, sum) => {
      const smaller = { place: this.leftOut, from: 0, to: 0, sum: 0, at: 0, depth, isOnPath: false };
      const kept = groups.filter((group) => {
        group.depth = depth;
        group.isOnPath = isOnPath && (depth > focus.length || focus[depth - 1] === group.place);
        if (group.isOnPath && depth === focus.length) least = group.sum / 20000;
        const isKept = (group.isOnPath && depth <= focus.length) || group.sum >= (group.isOnPath ? least : total / 20000);
        if (!isKept) smaller.sum += group.sum;
        return isKept;
      });
      kept.sort((a, b) => b.sum - a.sum || a.place - b.place);
      if (smaller.sum > 0) kept.push(smaller);
      // What the stacks that end here cost comes first, as it does with callers first.
      let next = at + Math.max(0, sum - kept.reduce((all, group) => all + group.sum, 0));
      for (const group of kept) {
        group.at = next;
        next += group.sum;
      }
      // The last one in is the first one out.
      while (kept.length) pending.push(kept.pop());
    };
    admit(this.groups(0, members, sets), 1, true, 0, total);
    while (pending.length) {
      const group = pending.pop();
      while (out.depth[open[open.length - 1]] >= group.depth) out.end[open.pop()] = out.depth.length;
      open.push(out.depth.length);
      out.depth.push(group.depth);
      out.place.push(group.place);
      out.start.push(group.at);
      out.end.push(0);
      for (let at = group.from; at < group.to; at++) cursor[at] = parent[cursor[at]];
      admit(this.groups(group.from, group.to, sets), group.depth + 1, group.isOnPath, group.at, group.sum);
    }
    while (open.length) out.end[open.pop()] = out.depth.length;
    const depth = Uint16Array.from(out.depth);
    return {
      count: depth.length,
      depth,
      place: Uint32Array.from(out.place),
      end: Uint32Array.from(out.end),
      start: Float64Array.from([...out.start, total]),
      blocks: null,
      total,
      metric,
      ...rowsOf(depth),
    };
  }

  /** Sorts the members `from .. to` by the place under their cursor; members at the root stay last. */
  groups(from, to, { leaf, cursor, leafCopy, cursorCopy, groupOf, start }) {
    const groups = [];
    let ended = 0;
    for (let at = from; at < to; at++) {
      if (cursor[at] === 0) {
        ended++;
        continue;
      }
      const place = this.place[cursor[at]];
      if (groupOf[place] < 0) {
        groupOf[place] = groups.length;
        groups.push({ place, from: 0, to: 0, sum: 0, at: 0 });
      }
      const group = groups[groupOf[place]];
      group.to++;
      group.sum += start[leaf[at] + 1] - start[leaf[at]];
    }
    let next = from;
    for (const group of groups) {
      group.from = next;
      next += group.to;
      group.to = group.from;
    }
    let last = to - ended;
    for (let at = from; at < to; at++) {
      const slot = cursor[at] === 0 ? last++ : groups[groupOf[this.place[cursor[at]]]].to++;
      leafCopy[slot] = leaf[at];
      cursorCopy[slot] = cursor[at];
    }
    leaf.set(leafCopy.subarray(from, to), from);
    cursor.set(cursorCopy.subarray(from, to), from);
    for (const group of groups) groupOf[group.place] = -1;
    return groups;
  }

  parents() {
    const parent = new Uint32Array(this.count);
    const open = [];
    for (let node = 0; node < this.count; node++) {
      const depth = this.depth[node];
      open[depth] = node;
      if (depth) parent[node] = open[depth - 1];
    }
    return parent;
  }

  /**
   * What each place costs: `own` where it is the innermost frame of the program's own code (or the
   * innermost at all), `total` with everything it calls; recursion counts once.
   */
  sites(metric) {
    const { start, blocks } = this.metric(metric);
    const places = this.places;
    const own = new Float64Array(places.count);
    const ownBlocks = new Float64Array(places.count);
    const total = new Float64Array(places.count);
    const active = new Uint32Array(places.count);
    const open = [];
    const site = [0];
    for (let node = 1; node < this.count; node++) {
      const depth = this.depth[node];
      while (open.length >= depth) active[open.pop()]--;
      const place = this.place[node];
      if (active[place] === 0) total[place] += start[this.end[node]] - start[node];
      active[place]++;
      open.push(place);
      const outer = site[depth - 1];
      site[depth] = places.library[place] && outer !== 0 && !places.library[outer] ? outer : place;
      own[site[depth]] += start[node + 1] - start[node];
      if (blocks) ownBlocks[site[depth]] += (blocks[node + 1] - blocks[node]) >>> 0;
    }
    return { own, ownBlocks: blocks ? ownBlocks : null, total };
  }
}

/** 0: none, 1: all, else one more than the number. */
function portion(code, all) {
  return code === 0 ? 0 : code === 1 ? all : code - 1;
}

function rowsOf(depth) {
  let deepest = 0;
  for (let node = 0; node < depth.length; node++) if (depth[node] > deepest) deepest = depth[node];
  const rowStart = new Uint32Array(deepest + 2);
  for (let node = 0; node < depth.length; node++) rowStart[depth[node] + 1]++;
  for (let row = 1; row < rowStart.length; row++) rowStart[row] += rowStart[row - 1];
  const next = rowStart.slice();
  const rows = new Uint32Array(depth.length);
  for (let node = 0; node < depth.length; node++) rows[next[depth[node]]++] = node;
  return { rows, rowStart };
}
