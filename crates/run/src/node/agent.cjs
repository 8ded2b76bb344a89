// What Heapwise does inside Node: see ../node.rs. Required before the program; must never harm it.
"use strict";
(() => {
  const inbox = process.env.HEAPWISE_NODE;
  if (!inbox || !process.versions.v8 || process.versions.bun) return;
  // The program may replace these.
  const { setTimeout, clearTimeout, JSON, Date } = globalThis;
  const fs = require("fs");
  const v8 = require("v8");
  const { isMainThread, threadId } = require("worker_threads");

  // Nobody looks for what a package manager keeps while it runs a script.
  let isWrapper = false;
  try {
    isWrapper = /\/node_modules\/(npm|pnpm|yarn|corepack)\//.test(fs.realpathSync(process.argv[1]));
  } catch {}
  const when = isWrapper ? "never" : inbox.slice(0, inbox.indexOf(":"));
  const folder = inbox.slice(inbox.indexOf(":") + 1);

  // Milliseconds that a snapshot takes at least, and for each MiB in use: measured anew with each one.
  const FIXED = 150;
  let rate = 70;
  // V8 needs this many times the bytes in use while it writes, and this much more.
  const MEMORY_FACTOR = 14;
  const MEMORY_MORE = 64 << 20;
  // Unasked, no snapshot stops the program for longer, and all of them together no longer than this part of the time.
  const PAUSE_MAX = 5000;
  const PART = 0.1;
  const FIRST = 1000;
  const TICK = 500;
  const MIB = 1 << 20;

  const start = Date.now();
  const uptime = () => Date.now() - start;
  const every = when.startsWith("every=") ? Number(when.slice(6)) : 0;
  const is = (name) => when.split(",").includes(name);
  let count = 0;
  let spent = 0;
  let last = null; // of the last snapshot: its time, and the bytes in use
  let isOver = false;
  const notes = [];

  const note = (text) => {
    if (!notes.includes(text) && notes.length < 20) notes.push(text);
  };

  const put = (reason, kind, write) => {
    const name = `${folder}/${process.pid}.${threadId}.${++count}.${reason}.${kind}`;
    const part = `${name}.part`;
    try {
      write(part);
      fs.renameSync(part, name);
      return true;
    } catch (error) {
      try { fs.unlinkSync(part); } catch {}
      // Heapwise is gone, or there is no room.
      note(`a file for Heapwise could not be written: ${error.code ?? error.message}`);
      return false;
    }
  };

  const number = (path) => {
    try {
      const value = Number(fs.readFileSync(path, "latin1"));
      return value > 0 ? value : Infinity;
    } catch {
      return Infinity;
    }
  };

  // Bytes that may be used before the system, or the control group, kills somebody.
  const available = () => {
    let free = Infinity;
    try {
      free = Number(/^MemAvailable:\s+(\d+)/m.exec(fs.readFileSync("/proc/meminfo", "latin1"))[1]) * 1024;
    } catch {}
    let group = "";
    try {
      group = /^0::(.*)$/m.exec(fs.readFileSync("/proc/self/cgroup", "latin1"))[1];
    } catch {}
    for (let at = group; ; at = at.slice(0, at.lastIndexOf("/"))) {
      const base = `/sys/fs/cgroup${at === "/" ? "" : at}`;
      const limit = number(`${base}/memory.max`);
      if (limit < Infinity) free = Math.min(free, limit - number(`${base}/memory.current`));
      if (!at.includes("/")) break;
    }
    const limit = number("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    if (limit < 2 ** 50) free = Math.min(free, limit - number("/sys/fs/cgroup/memory/memory.usage_in_bytes"));
    return free;
  };

  const resources = () => {
    const counts = {};
    for (const name of process.getActiveResourcesInfo?.() ?? []) counts[name] = (counts[name] ?? 0) + 1;
    return counts;
  };

  // Open files and sockets of the process, and the file that is open most often.
  const DESCRIPTORS_MAX = 10_000;
  const descriptors = () => {
    const found = { files: 0, sockets: 0, file: "" };
    if (!isMainThread) return found;
    const times = new Map();
    try {
      for (const number of fs.readdirSync("/proc/self/fd").slice(0, DESCRIPTORS_MAX)) {
        let name = "";
        try { name = fs.readlinkSync(`/proc/self/fd/${number}`); } catch {}
        if (name.startsWith("socket:")) found.sockets += 1;
        if (!/^\/(?!dev\/|proc\/)/.test(name)) continue;
        found.files += 1;
        times.set(name, (times.get(name) ?? 0) + 1);
        if (times.get(name) > (times.get(found.file) ?? 0)) found.file = name;
      }
    } catch {}
    return found;
  };

  const facts = (reason, more) => {
    const memory = process.memoryUsage();
    const told = {
      reason, thread: threadId, version: process.version, uptime: uptime(), spent, memory, notes, gc: collections(),
      resources: resources(), descriptors: descriptors(), ...more,
    };
    put(reason, "runtime", (path) => fs.writeFileSync(path, JSON.stringify(told), { mode: 0o600 }));
  };

  const mib = (bytes) => `${Math.round(bytes / MIB)} MiB`;
  const used = () => v8.getHeapStatistics().used_heap_size;
  const estimate = (bytes) => FIXED + (rate * bytes) / MIB;

  const snapshot = (reason, isAsked) => {
    const bytes = used();
    const [pause, need, free] = [estimate(bytes), bytes * MEMORY_FACTOR + MEMORY_MORE, available()];
    if (need > free) {
      note(`no heap snapshot (${reason}): with ${mib(bytes)} in use it may need ${mib(need)}, and ${mib(free)} are left`);
      return false;
    }
    if (!isAsked && pause > PAUSE_MAX) {
      note(`no heap snapshot (${reason}): with ${mib(bytes)} in use it would stop the program for about ` +
        `${Math.round(pause / 1000)} s; --snapshot exit takes it nevertheless`);
      return false;
    }
    const begin = Date.now();
    const isWritten = put(reason, "heapsnapshot", (path) => v8.writeHeapSnapshot(path));
    const took = Date.now() - begin;
    spent += took;
    rate = Math.max(5, ((took - FIXED) * MIB) / bytes);
    last = { at: uptime(), bytes };
    if (isWritten) facts(reason, { took });
    return isWritten;
  };

  // The first one early, then whenever the time since the start, or the heap, has grown by half: as long as that costs
  // little.
  const isDue = () => {
    const now = uptime();
    if (every) return now - (last ? last.at : 0) >= every;
    if (!is("auto") && !is("peak")) return false;
    if (!last) return now >= FIRST && estimate(used()) <= Math.max(500, now * PART);
    const pause = estimate(used());
    if (pause > PAUSE_MAX || spent + pause > (now + pause) * PART) return false;
    return (is("auto") && now >= 1.5 * last.at) || used() >= 1.5 * last.bytes + MIB;
  };

  const asked = `${folder}/${process.pid}.ask`;
  const ask = () => {
    try {
      fs.unlinkSync(asked);
    } catch {
      return;
    }
    if (!snapshot("asked", true)) facts("refused");
  };

  // Parents before children: parent's place, function, script, line, column, bytes that live.
  const flat = (root) => {
    const nodes = [];
    const open = [[root, -1]];
    while (open.length > 0) {
      const [node, parent] = open.pop();
      const { functionName, url, lineNumber, columnNumber } = node.callFrame;
      const at = nodes.push([parent, functionName, url, lineNumber + 1, columnNumber + 1, node.selfSize]) - 1;
      for (const child of node.children) open.push([child, at]);
    }
    return nodes;
  };

  // Maps of scripts that were made in memory, by a loader of TypeScript; of others, their files tell.
  const MAPS_MAX = 32 << 20;
  const sourceMaps = () => {
    const maps = {};
    let bytes = 0;
    const parsed = ({ params: { url, sourceMapURL: map } }) => {
      if (map?.startsWith("data:") && /^(file:|\/)/.test(url) && (bytes += map.length) < MAPS_MAX) maps[url] = map;
    };
    try {
      connect();
      session.on("Debugger.scriptParsed", parsed);
      session.post("Debugger.enable");
      session.post("Debugger.disable");
    } catch {}
    return maps;
  };

  // Connected late, for the console costs more from then on; never disconnected, for V8 would number all objects anew, and
  // snapshots could not be compared.
  let session = null;
  const connect = () => {
    if (session) return;
    const { Session } = require("inspector");
    session = new Session();
    session.connect();
  };
  const profile = () => {
    let found = null;
    try {
      connect();
      session.post("HeapProfiler.getSamplingProfile", (error, it) => { if (!error) found = flat(it.profile.head); });
    } catch {}
    return found;
  };

  // What is counted and sampled in V8 itself, by the recorder: what Node offers for this keeps the event loop busy, and
  // makes writing to the console cost twice as much.
  const KINDS = 5;
  const native = (exports) => {
    const path = `${__dirname}/libheapwise_recorder.so`;
    if (process.env.LD_PRELOAD?.includes(path)) process.dlopen({ exports }, path);
  };
  const collections = () => {
    const told = {};
    try {
      const counted = new Float64Array(3 * KINDS);
      native(counted);
      for (let kind = 0; kind < KINDS; kind++) {
        const [count, time, longest] = counted.subarray(3 * kind);
        if (count > 0) told[1 << kind] = { count, time, longest };
      }
    } catch {}
    return told;
  };

  const finish = (reason, code = 0) => {
    if (isOver) return;
    isOver = true;
    try {
      clearTimeout(timer);
      const isShort = uptime() < FIRST && !last;
      if (is("exit") || is("peak") || every || (is("auto") && !isShort)) snapshot(reason, !is("auto"));
      // After the snapshot, which would hold the inspector's objects, too.
      facts(reason, { end: true, code: Number(code) || 0, profile: profile(), maps: sourceMaps() });
    } catch (error) {
      note(String(error));
    }
  };

  // A program that sends itself a signal that it does nothing about does not come to its next event.
  const ENDING = { 1: "SIGHUP", 2: "SIGINT", 15: "SIGTERM" };
  const kill = process._kill;
  process._kill = (pid, signal) => {
    if (pid === process.pid && ENDING[signal] && process.listenerCount(ENDING[signal]) === 0) finish("signal");
    return kill.call(process, pid, signal);
  };

  let timer;
  const tick = () => {
    try {
      if (isMainThread) ask();
      if (isDue()) snapshot(every ? "interval" : last ? "growth" : "start", Boolean(every));
    } catch (error) {
      note(String(error));
    }
    if (!isOver) timer = setTimeout(tick, TICK).unref();
  };

  try {
    native(() => finish("signal"));
  } catch {} // addons are not allowed
  try {
    if (is("signal") && isMainThread) process.on("SIGUSR2", () => snapshot("asked", true));
  } catch {}
  timer = setTimeout(tick, TICK).unref();
  // No listener: the program may count its own.
  const emit = process.emit;
  const value = function (event, ...rest) {
    if (event === "exit") finish("exit", rest[0]);
    return Reflect.apply(emit, this, [event, ...rest]);
  };
  Object.defineProperty(process, "emit", { value, writable: true, configurable: true });
  delete require.cache[__filename];
})();
