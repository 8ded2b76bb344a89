// Live bytes, resident memory and page faults over time, as SVG.

const SERIES = [
  { id: "live", label: "live bytes", format: bytes },
  { id: "rss", label: "RSS", format: bytes },
  { id: "swap", label: "swap", format: bytes },
];

function svg(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Times and values of RSS where it was looked at; a process that runs is never without. */
function sampled({ at, rss }) {
  const known = [...at.keys()].filter((index) => rss[index] > 0);
  return [known.map((index) => at[index]), known.map((index) => rss[index])];
}

class TimelineChart {
  constructor(ticks, program) {
    this.ticks = ticks;
    this.program = program;
    this.box = byId("timeline-chart");
    this.shown = SERIES.filter(({ id }) => ticks[id].some((value) => value > 0));
    this.hasFaults = ticks.minor.some((value) => value > 0) || ticks.major.some((value) => value > 0);
    this.at = ticks.at.length - 1;
    this.first = ticks.at[0];
    this.last = ticks.at[this.at];
    // The span of time that is shown.
    this.from = this.first;
    this.to = this.last;
    byId("timeline-legend").replaceChildren(
      ...this.shown.map(({ id, label }) => legendItem(id, label)),
      ...(this.hasFaults ? [legendItem("faults", "page faults")] : []),
    );
    this.cursor = make("div", {
      class: "cursor",
      role: "slider",
      tabindex: "0",
      "aria-label": "Moment on the timeline",
      "aria-describedby": "timeline-keys",
      "aria-valuemin": 0,
      "aria-valuemax": ticks.at.length - 1,
      onkeydown: (event) => this.key(event),
    });
    this.box.addEventListener("pointermove", (event) => this.point(event));
    this.box.addEventListener("pointerleave", hideTip);
    this.handleBrush();
    byId("timeline-reset").addEventListener("click", () => {
      this.zoom(this.first, this.last);
      this.cursor.focus();
    });
    new ResizeObserver(() => this.draw()).observe(this.box);
    this.draw();
    this.move(this.peakIndex(), false);
  }

  peakIndex() {
    let peak = 0;
    this.ticks.live.forEach((value, at) => {
      if (value > this.ticks.live[peak]) peak = at;
    });
    return peak;
  }

  draw() {
    const { ticks } = this;
    const width = Math.max(240, this.box.clientWidth);
    const area = { left: 64, right: width - 12, top: 14, bottom: this.hasFaults ? 136 : 164 };
    const [first, last] = [this.from, this.to];
    const [begin, end] = this.within(ticks.at);
    const greatest = (values) => values.slice(begin, end).reduce((a, b) => Math.max(a, b), 0);
    const most = Math.max(1, ...this.shown.map(({ id }) => greatest(ticks[id])));
    const step = niceStep(most / 3);
    const top = Math.ceil(most / step) * step;
    this.x = (ns) => area.left + ((ns - first) / (last - first || 1)) * (area.right - area.left);
    this.y = (value) => area.bottom - (value / top) * (area.bottom - area.top);
    this.area = area;

    const root = svg("svg", { width, height: 190, viewBox: `0 0 ${width} 190`, role: "img", "aria-label": this.summary() });
    for (let value = 0; value <= top; value += step) {
      root.append(
        svg("line", { class: "grid", x1: area.left, x2: area.right, y1: this.y(value), y2: this.y(value) }),
        svg("text", { class: "tick", x: area.left - 8, y: this.y(value) + 4, "text-anchor": "end" }, bytes(value)),
      );
    }
    const pace = niceTime((last - first) / Math.max(2, width / 140));
    for (let ns = Math.ceil(first / pace) * pace; ns <= last; ns += pace) {
      const isNearEnd = this.x(ns) > area.right - 24;
      const anchor = ns === 0 ? "start" : isNearEnd ? "end" : "middle";
      root.append(
        svg("line", { class: "notch", x1: this.x(ns), x2: this.x(ns), y1: 168, y2: 172 }),
        svg("text", { class: "tick", x: this.x(ns), y: 185, "text-anchor": anchor }, moment(ns)),
      );
    }
    if (this.hasFaults) this.drawFaults(root, area);
    const clip = svg("clipPath", { id: "timeline-clip" });
    clip.append(svg("rect", { x: area.left, y: 0, width: area.right - area.left, height: 190 }));
    const lines = svg("g", { "clip-path": "url(#timeline-clip)" });
    root.append(clip, lines);
    for (const { id } of [...this.shown].reverse()) {
      const [at, values] = id === "rss" ? sampled(ticks) : [ticks.at, ticks[id]];
      const [from, to] = this.within(at);
      const line = this.path(at.slice(from, to), values.slice(from, to));
      if (id === "live") {
        const [left, right] = [at[from], at[to - 1]].map((ns) => this.x(ns).toFixed(1));
        lines.append(svg("path", { class: "fill live", d: `${line}L${right},${area.bottom}L${left},${area.bottom}Z` }));
      }
      lines.append(svg("path", { class: `line ${id}`, d: line }));
    }
    this.drawPeak(root, area);
    this.marker = svg("line", { class: "moment", y1: area.top, y2: 168 });
    this.brush = svg("rect", { class: "brush", y: area.top, height: 168 - area.top, width: 0 });
    root.append(this.brush, this.marker);
    const focused = document.activeElement === this.cursor;
    this.box.replaceChildren(root, this.cursor);
    if (focused) this.cursor.focus();
    this.place();
  }

  /** The indexes of ticks in the span that is shown, and of one more on either side. */
  within(at) {
    const begin = at.findIndex((ns) => ns > this.from);
    const end = at.findIndex((ns) => ns >= this.to);
    return [Math.max(0, begin < 0 ? at.length - 1 : begin - 1), end < 0 ? at.length : end + 1];
  }

  /** Shows a span of time: not less than a thousandth of all, and not beyond its ends. */
  zoom(from, to) {
    const whole = this.last - this.first;
    const length = Math.min(whole, Math.max(to - from, whole / 1000, 1));
    const middle = (from + to) / 2;
    this.from = Math.min(Math.max(this.first, middle - length / 2), this.last - length);
    this.to = this.from + length;
    const isWhole = length === whole;
    byId("timeline-reset").hidden = isWhole;
    this.draw();
    announce(isWhole ? "The whole timeline is shown" : `Shown: ${this.span()}`);
  }

  span() {
    return `${duration(this.from)} to ${duration(this.to)}`;
  }

  /** The pointer drags a span open. */
  handleBrush() {
    let start = null;
    const place = (event) => {
      const x = event.clientX - this.box.getBoundingClientRect().left;
      return Math.max(this.area.left, Math.min(this.area.right, x));
    };
    this.box.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      start = place(event);
      this.box.setPointerCapture(event.pointerId);
    });
    this.box.addEventListener("pointermove", (event) => {
      if (start === null) return;
      const x = place(event);
      this.brush.setAttribute("x", Math.min(start, x));
      this.brush.setAttribute("width", Math.abs(x - start));
    });
    const end = (event) => {
      if (start === null) return;
      const [left, right] = [start, place(event)].sort((a, b) => a - b);
      start = null;
      this.brush.setAttribute("width", 0);
      if (event.type === "pointerup" && right - left > 4) this.zoom(this.time(left), this.time(right));
    };
    this.box.addEventListener("pointerup", end);
    this.box.addEventListener("pointercancel", end);
  }

  time(x) {
    return this.from + ((x - this.area.left) / (this.area.right - this.area.left)) * (this.to - this.from);
  }

  /** One point per pixel column at most: least and greatest, so that no spike is lost. */
  path(at, values) {
    const columns = this.area.right - this.area.left;
    const stride = Math.max(1, Math.floor(at.length / (columns * 2)));
    let d = "";
    for (let from = 0; from < at.length; from += stride) {
      let low = from;
      let high = from;
      for (let index = from; index < Math.min(at.length, from + stride); index++) {
        if (values[index] < values[low]) low = index;
        if (values[index] > values[high]) high = index;
      }
      for (const index of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) {
        d += `${d ? "L" : "M"}${this.x(at[index]).toFixed(1)},${this.y(values[index]).toFixed(1)}`;
      }
    }
    return at.length === 1 ? `${d}h-6` : d;
  }

  /** Faults per pixel column, in a strip below the chart. */
  drawFaults(root, area) {
    const { at, minor, major } = this.ticks;
    const width = 3;
    const bars = new Float64Array(Math.ceil((area.right - area.left) / width) + 1);
    const [begin, end] = this.within(at);
    for (let index = begin + 1; index < end; index++) {
      const faults = Math.max(0, minor[index] - minor[index - 1]) + Math.max(0, major[index] - major[index - 1]);
      const column = Math.floor((this.x(at[index]) - area.left) / width);
      if (column >= 0 && column < bars.length) bars[column] += faults;
    }
    const most = bars.reduce((a, b) => Math.max(a, b), 1);
    let d = "";
    bars.forEach((value, column) => {
      if (value > 0) d += `M${area.left + column * width},168v${-Math.max(1, (value / most) * 22).toFixed(1)}h2V168Z`;
    });
    root.append(
      svg("path", { class: "faults", d }),
      svg("text", { class: "tick", x: area.left - 8, y: 166, "text-anchor": "end" }, "faults"),
    );
  }

  drawPeak(root, area) {
    const peak = this.program?.peak_bytes || this.ticks.live[this.peakIndex()];
    const at = this.program?.peak_bytes ? this.program.peak_at_ns : this.ticks.at[this.peakIndex()];
    if (at < this.from || at > this.to) return;
    const x = Math.max(area.left, Math.min(area.right, this.x(at)));
    const onRight = x > (area.left + area.right) / 2;
    const y = Math.max(area.top, this.y(peak));
    root.append(
      svg("line", { class: "peak", x1: x, x2: x, y1: y, y2: area.bottom }),
      svg("circle", { class: "peak", cx: x, cy: y, r: 3.5 }),
      svg("text", { class: "peak", x: x + (onRight ? -8 : 8), y: Math.max(12, y - 6), "text-anchor": onRight ? "end" : "start" },
        `peak ${bytes(peak)}`),
    );
  }

  point(event) {
    const x = event.clientX - this.box.getBoundingClientRect().left;
    let low = 0;
    let high = this.ticks.at.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.x(this.ticks.at[middle]) < x) low = middle + 1;
      else high = middle;
    }
    if (low > 0 && x - this.x(this.ticks.at[low - 1]) < this.x(this.ticks.at[low]) - x) low--;
    this.move(low, false);
    showTip(this.values(), event.clientX, event.clientY);
  }

  key(event) {
    if ("+=-".includes(event.key)) {
      event.preventDefault();
      const half = ((this.to - this.from) / 2) * (event.key === "-" ? 2 : 0.5);
      const middle = this.ticks.at[this.at];
      this.zoom(middle - half, middle + half);
    } else if (event.key === "Escape") {
      this.zoom(this.first, this.last);
    }
    const last = this.ticks.at.length - 1;
    const page = Math.max(1, Math.round(last / 20));
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: page, PageDown: -page, Home: -last, End: last };
    if (!(event.key in by)) return;
    event.preventDefault();
    this.move(Math.max(0, Math.min(last, this.at + by[event.key])), true);
  }

  move(index) {
    this.at = index;
    const ns = this.ticks.at[index];
    if (ns < this.from || ns > this.to) {
      const half = (this.to - this.from) / 2;
      this.zoom(ns - half, ns + half);
    }
    this.place();
  }

  place() {
    const x = Math.max(this.area.left, Math.min(this.area.right, this.x(this.ticks.at[this.at])));
    this.marker.setAttribute("x1", x);
    this.marker.setAttribute("x2", x);
    this.cursor.style.left = `${x - 8}px`;
    const text = this.values().join(", ");
    this.cursor.setAttribute("aria-valuenow", this.at);
    this.cursor.setAttribute("aria-valuetext", text);
    byId("timeline-values").textContent = this.to - this.from < this.last - this.first ? `${text}. ${this.inView()}` : text;
  }

  values() {
    const { ticks, at } = this;
    const values = [`at ${duration(ticks.at[at])}`];
    values.push(`live ${bytes(ticks.live[at])} in ${counted(ticks.blocks[at], "block")}`);
    if (ticks.rss[at]) values.push(`RSS ${bytes(ticks.rss[at])}`);
    if (ticks.swap[at]) values.push(`swap ${bytes(ticks.swap[at])}`);
    if (this.hasFaults) values.push(`${count(ticks.minor[at])} minor and ${counted(ticks.major[at], "major fault")}`);
    return values;
  }

  /** What happened in the span that is shown. */
  inView() {
    const { at, allocations, live } = this.ticks;
    const [begin, end] = this.within(at);
    const change = live[end - 1] - live[begin];
    const sign = change < 0 ? "−" : "+";
    return `From ${this.span()}: ${counted(allocations[end - 1] - allocations[begin], "allocation")}, live ${sign}${bytes(Math.abs(change))}`;
  }

  summary() {
    const { ticks } = this;
    const last = ticks.at.length - 1;
    const peak = this.program?.peak_bytes || ticks.live[this.peakIndex()];
    return `Live bytes over ${duration(ticks.at[last])}: peak ${bytes(peak)}, at the end ${bytes(ticks.live[last])}`;
  }
}

function legendItem(id, label) {
  return make("li", {}, make("span", { class: `swatch ${id}` }), label);
}

/** The power of two, or half as much again, that is not below `value`. */
function niceStep(value) {
  let step = 1;
  while (step < value) step *= 2;
  return step * 0.75 >= value && step >= 4 ? step * 0.75 : step;
}

/** 1, 2 or 5 times a power of ten below a minute, then what clocks show; not below `ns`. */
function niceTime(ns) {
  const minute = 60e9;
  for (const step of [5e9, 10e9, 15e9, 30e9, 1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440]) {
    const length = step < 1e9 ? step * minute : step;
    if (ns > 2e9 && length >= ns) return length;
  }
  const days = ns > 1440 * minute ? 1440 * minute : 1;
  let scale = days;
  while (scale * 10 < ns) scale *= 10;
  return [1, 2, 5, 10].find((it) => it * scale >= ns) * scale;
}

/** A label of the axis: the shortest that is exact at its step. */
function moment(ns) {
  const seconds = ns / 1e9;
  if (ns === 0) return "0";
  if (seconds < 1e-3) return `${+(ns / 1e3).toFixed(2)} µs`;
  if (seconds < 1) return `${+(ns / 1e6).toFixed(2)} ms`;
  if (seconds < 60) return `${+seconds.toFixed(2)} s`;
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  let rest = Math.round(seconds);
  const parts = [];
  for (const [length, unit] of units) {
    if (rest >= length) parts.push(`${Math.floor(rest / length)} ${unit}`);
    rest %= length;
  }
  return parts.slice(0, 2).join(" ");
}
