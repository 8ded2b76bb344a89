// Words, figures and elements. Text is always set as text, never as markup.

/** An element: attributes by name, `text` as its text, then children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const byId = (id) => document.getElementById(id);
const integers = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** `1,234,567` */
function count(value) {
  return integers.format(value);
}

/** `1 block`, `20,000 blocks` */
function counted(value, noun) {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** `880,000 bytes` */
function exactBytes(value) {
  return counted(value, "byte");
}

/** `859.4 KiB` */
function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  let unit = 0;
  while (value >= (unit ? 1023.95 : 1024) && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit ? value.toFixed(1) : count(value)} ${units[unit]}`;
}

/** `1.2 M` */
function shortCount(value) {
  if (value < 10000) return count(value);
  const units = ["", "k", "M", "G", "T", "P"];
  let unit = 0;
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}

/** `34.5 %`, `< 0.1 %` where it is more than nothing. */
function share(part, whole) {
  if (!whole || !part) return "0 %";
  const percent = (part / whole) * 100;
  return percent < 0.1 ? "< 0.1 %" : `${percent.toFixed(1)} %`;
}

/** Nanoseconds as `0.81 s`, `3.2 ms`, `2 min 5 s`, `3 h 12 min`. */
function duration(ns) {
  const seconds = ns / 1e9;
  if (ns < 1e3) return `${count(ns)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} µs`;
  if (ns < 1e8) return `${(ns / 1e6).toFixed(1)} ms`;
  if (seconds < 60) return `${seconds.toFixed(2)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds / 60) % 60)} min`;
}

/** A metric's value, short; `exact` for tooltips. */
function amount(metric, value) {
  return metric.unit === "bytes" ? bytes(value) : shortCount(value);
}

function exactAmount(metric, value) {
  return metric.unit === "bytes" ? exactBytes(value) : counted(value, "allocation");
}

/** `src/app.c:12:9`, or what is known. */
function spotText(spot) {
  if (!spot.path) return spot.module;
  return [spot.path, spot.line, spot.column].filter((it) => it).join(":");
}

/** The last two components of a path: what a narrow column has room for. */
function shortPath(path) {
  return path.split("/").slice(-2).join("/");
}

function reducedMotion() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Told to screen readers. */
function announce(text) {
  byId("live").textContent = text;
}

/** A tooltip of lines, the first one strong, beside the pointer and inside the window. */
function showTip(lines, x, y) {
  const tip = byId("tip");
  tip.replaceChildren(...lines.filter((line) => line).map((line, at) => make(at ? "div" : "strong", { text: line })));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 8))}px`;
  tip.style.top = `${y + height + 24 > innerHeight ? Math.max(4, y - height - 10) : y + 18}px`;
}

function hideTip() {
  byId("tip").hidden = true;
}

/** The value of a color property of the style sheet, as a canvas takes it. */
function color(name) {
  const probe = make("span", { hidden: true });
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
