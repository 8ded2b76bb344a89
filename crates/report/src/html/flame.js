// The flame graph: an icicle on a canvas. The cost of drawing follows pixels, not nodes: each row
// is entered by binary search, and what is narrower than a pixel is skipped or drawn as one run.

const ROW = 18;
const LABEL_FONT = "11.5px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
const ZOOM_MS = 140;

class Flame {
  constructor(trie) {
    this.trie = trie;
    this.canvas = byId("flame");
    this.scroller = byId("flame-scroll");
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.matches = null;
    this.selected = 0;
    this.zoomed = 0;
    this.hovered = -1;
    this.frame = 0;
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", () => this.leave());
    this.canvas.addEventListener("click", (event) => this.click(event));
    this.canvas.addEventListener("focus", () => this.redraw());
    this.canvas.addEventListener("blur", () => this.redraw());
    this.scroller.addEventListener("scroll", () => this.redraw());
    byId("flame-panel").addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.redraw()).observe(this.scroller);
    this.readColors();
  }

  readColors() {
    this.colors = {
      own: ["--own-0", "--own-1", "--own-2", "--own-3"].map(color),
      library: ["--library-0", "--library-1"].map(color),
      match: color("--match"),
      matchText: color("--match-text"),
      text: color("--flame-text"),
      back: color("--flame-back"),
      root: color("--flame-root"),
      mark: color("--mark"),
    };
    this.tints = null;
    this.redraw();
  }

  /** Shows a tree of `Trie`, zoomed and selected at `path`, as far as it exists there. */
  show(view, path = []) {
    this.view = view;
    this.zoomed = this.find(path);
    this.selected = this.zoomed;
    this.hovered = -1;
    this.from = view.start[this.zoomed];
    this.to = view.start[view.end[this.zoomed]];
    this.layOut();
    this.changed();
  }

  /** The rows' height; the canvas itself is never taller than what is visible of them. */
  layOut() {
    const rows = this.view.rowStart.length - 1;
    byId("flame-space").style.height = `${rows * ROW}px`;
    this.scroller.style.height = `${Math.max(5, Math.min(rows, 30)) * ROW + 2}px`;
  }

  find(path) {
    let node = 0;
    for (const place of path) {
      const next = this.children(node).find((child) => this.view.place[child] === place);
      if (next === undefined) break;
      node = next;
    }
    return node;
  }

  value(node) {
    return this.view.start[this.view.end[node]] - this.view.start[node];
  }

  /** Last node of the row of `depth` that is not after `node`. */
  lastUpTo(depth, node) {
    const { rows, rowStart } = this.view;
    let low = rowStart[depth];
    let high = rowStart[depth + 1] - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (rows[middle] <= node) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  ancestor(node, depth) {
    return this.view.rows[this.lastUpTo(depth, node)];
  }

  /** From the root to the node itself. */
  path(node) {
    const nodes = [];
    for (let depth = 0; depth < this.view.depth[node]; depth++) nodes.push(this.ancestor(node, depth));
    return [...nodes, node];
  }

  places(node) {
    return this.path(node).slice(1).map((it) => this.view.place[it]);
  }

  /** Children that have something of the metric, greatest first, what was left out last. */
  children(node) {
    const { view } = this;
    const found = [];
    for (let child = node + 1; child < view.end[node]; child = view.end[child]) {
      if (this.value(child) > 0) found.push(child);
    }
    const isRest = (child) => Number(view.place[child] === this.trie.leftOut);
    return found.sort((a, b) => isRest(a) - isRest(b) || this.value(b) - this.value(a));
  }

  // Drawing

  redraw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const { view, scroller, canvas, context } = this;
    if (!view || !scroller.clientWidth) return;
    const ratio = devicePixelRatio || 1;
    const width = scroller.clientWidth;
    const height = scroller.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = this.colors.back;
    context.fillRect(0, 0, width, height);
    context.font = LABEL_FONT;
    context.textBaseline = "middle";
    this.letter = context.measureText("0").width;
    this.scale = width / (this.to - this.from || 1);
    const top = scroller.scrollTop;
    const first = Math.floor(top / ROW);
    const last = Math.min(view.rowStart.length - 2, Math.floor((top + height) / ROW));
    for (let row = first; row <= last; row++) this.drawRow(row, row * ROW - top, width);
    if (this.hovered >= 0 && this.hovered !== this.selected) this.outline(this.hovered, 1, top);
    this.outline(this.selected, document.activeElement === canvas ? 2.5 : 1.5, top);
  }

  drawRow(row, y, width) {
    const { start, end, rows, rowStart } = this.view;
    const last = rowStart[row + 1];
    let at = this.firstEndingAfter(rowStart[row], last, this.from);
    let runFrom = -1;
    let runTo = -1;
    let runNode = -1;
    while (at < last) {
      const node = rows[at];
      const left = (start[node] - this.from) * this.scale;
      if (left >= width) break;
      const right = (start[end[node]] - this.from) * this.scale;
      if (right - left >= 1) {
        if (runNode >= 0) this.fillRun(runFrom, runTo, y, runNode);
        runNode = -1;
        this.drawFrame(node, Math.max(0, left), Math.min(width, right), y);
        at++;
        continue;
      }
      const column = Math.floor(left);
      if (right > left) {
        if (runNode >= 0 && column > runTo) {
          this.fillRun(runFrom, runTo, y, runNode);
          runNode = -1;
        }
        if (runNode < 0) [runFrom, runNode] = [column, node];
        runTo = column + 1;
      }
      at = this.firstEndingAfter(at + 1, last, this.from + (column + 1) / this.scale);
    }
    if (runNode >= 0) this.fillRun(runFrom, runTo, y, runNode);
  }

  /** First entry of `rows[from .. to]` whose node ends after `value`; looks near `from` first. */
  firstEndingAfter(from, to, value) {
    const { start, end, rows } = this.view;
    let low = from;
    let step = 1;
    while (low + step < to && start[end[rows[low + step]]] <= value) {
      low += step;
      step *= 2;
    }
    let high = Math.min(to, low + step);
    while (low < high) {
      const middle = (low + high) >> 1;
      if (start[end[rows[middle]]] <= value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  fillRun(from, to, y, node) {
    this.context.globalAlpha = this.matches && !this.matches[this.view.place[node]] ? 0.35 : 0.75;
    this.context.fillStyle = this.tint(node);
    this.context.fillRect(from, y, to - from, ROW - 1);
    this.context.globalAlpha = 1;
  }

  drawFrame(node, left, right, y) {
    const { context, trie, view } = this;
    const place = view.place[node];
    const isMatch = this.matches?.[place] === 1;
    const isDim = this.matches && !isMatch;
    const width = right - left;
    context.globalAlpha = isDim ? 0.45 : 1;
    context.fillStyle = this.tint(node);
    context.fillRect(left, y, width > 3 ? width - 1 : width, ROW - 1);
    context.globalAlpha = 1;
    const letters = Math.floor((width - 9) / this.letter);
    if (letters < 3) return;
    const name = node === 0 ? this.rootName() : trie.name(place);
    context.fillStyle = isMatch ? this.colors.matchText : this.colors.text;
    context.fillText(name.length > letters ? `${name.slice(0, letters - 1)}…` : name, left + 4, y + ROW / 2);
  }

  rootName() {
    const { metric, total } = this.view;
    return `all: ${exactAmount(metric, total)}, ${metric.label.toLowerCase()}`;
  }

  /** Own code in one of four tints by its file, libraries in one of two grays by their module. */
  tint(node) {
    const place = this.view.place[node];
    if (this.matches?.[place]) return this.colors.match;
    if (node === 0) return this.colors.root;
    this.tints ??= new Array(this.trie.places.count);
    return (this.tints[place] ??= this.pickTint(place));
  }

  pickTint(place) {
    const { places } = this.trie;
    const palette = places.library[place] ? this.colors.library : this.colors.own;
    const key = places.library[place] ? places.module[place] : places.path[place] || places.function[place];
    return palette[(Math.imul(key, 0x9e3779b1) >>> 16) % palette.length];
  }

  outline(node, thickness, top) {
    const { view, context, scroller } = this;
    const left = Math.max(0, (view.start[node] - this.from) * this.scale);
    const right = Math.min(scroller.clientWidth, (view.start[view.end[node]] - this.from) * this.scale);
    if (right < 0 || left > scroller.clientWidth) return;
    context.strokeStyle = this.colors.mark;
    context.lineWidth = thickness;
    const inset = thickness / 2;
    context.strokeRect(left + inset, view.depth[node] * ROW - top + inset, Math.max(1, right - left - 1 - thickness), ROW - 1 - thickness);
  }

  // Pointer

  /** The node under the pointer, or -1. */
  nodeAt(event) {
    const { view } = this;
    const box = this.scroller.getBoundingClientRect();
    const row = Math.floor((event.clientY - box.top - 1 + this.scroller.scrollTop) / ROW);
    if (row < 0 || row >= view.rowStart.length - 1) return -1;
    const value = this.from + (event.clientX - box.left - 1) / this.scale;
    const at = this.firstEndingAfter(view.rowStart[row], view.rowStart[row + 1], value);
    if (at >= view.rowStart[row + 1]) return -1;
    const node = view.rows[at];
    // Half a pixel of grace, for runs are drawn at least a pixel wide.
    return view.start[node] <= value + 0.5 / this.scale && this.value(node) > 0 ? node : -1;
  }

  hover(event) {
    if (!this.view) return;
    const node = this.nodeAt(event);
    if (node !== this.hovered) {
      this.hovered = node;
      this.redraw();
    }
    if (node < 0) hideTip();
    else showTip(this.describe(node), event.clientX, event.clientY);
    this.canvas.style.cursor = node < 0 ? "default" : "pointer";
  }

  leave() {
    this.hovered = -1;
    hideTip();
    this.redraw();
  }

  click(event) {
    const node = this.nodeAt(event);
    if (node < 0) return;
    this.select(node);
    this.zoom(node);
  }

  describe(node) {
    const { trie, view } = this;
    const place = view.place[node];
    const blocks = view.blocks ? (view.blocks[view.end[node]] - view.blocks[node]) >>> 0 : 0;
    const value = exactAmount(view.metric, this.value(node)) + (blocks ? ` in ${counted(blocks, "block")}` : "");
    const own = node === 0 || view.inverted ? 0 : view.start[node + 1] - view.start[node];
    return [
      trie.name(place),
      trie.where(place),
      [trie.module(place), node && trie.places.library[place] ? "library or runtime" : ""].filter((it) => it).join(" · "),
      `${value} · ${share(this.value(node), view.total)} of ${view.metric.label.toLowerCase()}`,
      this.zoomed ? `${share(this.value(node), this.value(this.zoomed))} of ${trie.name(view.place[this.zoomed])}` : "",
      own > 0 && own < this.value(node) ? `${exactAmount(view.metric, own)} by itself` : "",
    ];
  }

  // Moving

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inGrid = byId("context").contains(event.target);
    if (event.target !== this.canvas && !inGrid) return;
    const moves = {
      ArrowDown: () => this.children(this.selected)[0],
      ArrowUp: () => (this.selected ? this.ancestor(this.selected, this.view.depth[this.selected] - 1) : undefined),
      ArrowRight: () => this.sibling(1),
      ArrowLeft: () => this.sibling(-1),
      Home: () => 0,
    };
    if (inGrid && this.keyInGrid(event)) return;
    if (event.key in moves) {
      const node = moves[event.key]();
      if (event.key === "Home") this.zoom(0);
      if (node !== undefined) this.select(node);
    } else if (event.key === "Enter" || event.key === " ") {
      this.zoom(this.selected);
    } else if (event.key === "Escape" || event.key === "Backspace") {
      this.zoomOut();
    } else {
      return;
    }
    event.preventDefault();
  }

  /** In the table, up and down go through its rows, right to the first callee, left to the caller. */
  keyInGrid(event) {
    const rows = [...byId("context").querySelectorAll("tbody tr")];
    const at = rows.findIndex((row) => Number(row.dataset.node) === this.selected);
    const parent = this.selected ? this.ancestor(this.selected, this.view.depth[this.selected] - 1) : undefined;
    const targets = {
      ArrowDown: rows[at + 1]?.dataset.node,
      ArrowUp: rows[at - 1]?.dataset.node,
      ArrowRight: this.children(this.selected)[0],
      ArrowLeft: parent,
    };
    if (!(event.key in targets)) return false;
    event.preventDefault();
    if (targets[event.key] !== undefined) this.select(Number(targets[event.key]));
    return true;
  }

  /** The next drawn node of the row in a direction, inside the zoom. */
  sibling(direction) {
    const { rows, rowStart, depth, start } = this.view;
    const row = depth[this.selected];
    for (let at = this.lastUpTo(row, this.selected) + direction; at >= rowStart[row] && at < rowStart[row + 1]; at += direction) {
      if (this.value(rows[at]) <= 0) continue;
      const isInside = start[rows[at]] >= this.from && start[rows[at]] < this.to;
      return isInside ? rows[at] : undefined;
    }
    return undefined;
  }

  select(node) {
    this.selected = node;
    const isInside = this.view.start[node] < this.to && this.view.start[this.view.end[node]] > this.from;
    if (!isInside) this.zoom(this.commonWithZoom(node));
    this.reveal(node);
    this.changed();
    announce([this.trie.name(this.view.place[node]), exactAmount(this.view.metric, this.value(node)),
      share(this.value(node), this.view.total), `depth ${this.view.depth[node]}`].join(", "));
  }

  commonWithZoom(node) {
    let common = this.zoomed;
    while (common > node || this.view.end[common] <= node) common = this.ancestor(common, this.view.depth[common] - 1);
    return common;
  }

  reveal(node) {
    const y = this.view.depth[node] * ROW;
    const { scroller } = this;
    if (y < scroller.scrollTop) scroller.scrollTop = y;
    else if (y + 2 * ROW > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = y + 2 * ROW - scroller.clientHeight;
  }

  zoom(node) {
    if (this.zoomed === node) return;
    // Groups that an inverted tree drew as one may show once they are zoomed into.
    if (this.view.inverted && this.onrefine?.(this.places(node))) return;
    this.zoomed = node;
    this.animate(this.view.start[node], this.view.start[this.view.end[node]]);
    this.changed();
  }

  zoomOut() {
    if (!this.zoomed) return;
    const outer = this.ancestor(this.zoomed, this.view.depth[this.zoomed] - 1);
    this.select(this.zoomed);
    this.zoom(outer);
  }

  animate(from, to) {
    const [oldFrom, oldTo] = [this.from, this.to];
    const begin = performance.now();
    const token = (this.animation = {});
    const step = (now) => {
      if (this.animation !== token) return;
      const done = reducedMotion() ? 1 : Math.min(1, Math.max(0, now - begin) / ZOOM_MS);
      const eased = 1 - (1 - done) ** 3;
      this.from = oldFrom + (from - oldFrom) * eased;
      this.to = oldTo + (to - oldTo) * eased;
      if (done === 1) [this.from, this.to] = [from, to];
      this.draw();
      if (done < 1) requestAnimationFrame(step);
    };
    step(begin);
  }

  changed() {
    this.redraw();
    this.fillContext();
    this.fillCrumbs();
  }

  fillCrumbs() {
    const path = this.path(this.zoomed);
    const shown = path.length > 8 ? [...path.slice(0, 2), -1, ...path.slice(-5)] : path;
    const items = shown.map((node) => {
      if (node < 0) return make("li", { class: "gap", text: "…" });
      const isHere = node === this.zoomed;
      return make("li", {}, make("button", { type: "button", class: "link", "aria-current": isHere ? "location" : null,
        text: this.trie.name(this.view.place[node]), onclick: () => this.pick(node) }));
    });
    byId("crumbs").replaceChildren(make("ol", {}, ...items));
  }

  pick(node) {
    this.zoom(node);
    this.select(node);
  }

  /** The selected frame with its callers and greatest callees, as rows for readers and screen readers. */
  fillContext() {
    const grid = byId("context");
    const hadFocus = grid.contains(document.activeElement);
    const path = this.path(this.selected);
    const below = this.children(this.selected);
    const outer = path.length > 14 ? [path[0], ...path.slice(-13)] : path;
    const depth = this.view.depth[this.selected];
    const rows = outer.map((node) => this.contextRow(node, this.view.depth[node] + 1));
    for (const node of below.slice(0, 12)) rows.push(this.contextRow(node, depth + 2));
    const heads = [this.view.inverted ? "Frame and its callers" : "Frame", "Value", "Share", "Place", "Module"];
    grid.replaceChildren(
      make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col", text })))),
      make("tbody", {}, ...rows),
    );
    if (below.length > 12) {
      grid.tBodies[0].append(make("tr", { "aria-level": depth + 2, class: "more" },
        make("td", { colspan: 5, text: `${counted(below.length - 12, "smaller frame")} not listed` })));
    }
    if (hadFocus) grid.querySelector("tr[tabindex='0']")?.focus({ preventScroll: true });
  }

  contextRow(node, level) {
    const { trie, view } = this;
    const place = view.place[node];
    const isHere = node === this.selected;
    const hasChildren = view.end[node] > node + 1;
    const name = make("td", { class: "name" }, make("code", { text: trie.name(place) }));
    name.style.paddingLeft = `${8 + Math.min(level - 1, 15) * 12}px`;
    const bar = make("span", { class: "meter" });
    bar.style.width = `${(100 * this.value(node)) / (view.total || 1)}%`;
    return make("tr", {
      "aria-level": level,
      "aria-expanded": hasChildren ? String(view.depth[node] <= view.depth[this.selected]) : null,
      "aria-selected": String(isHere),
      tabindex: isHere ? "0" : "-1",
      "data-node": node,
      class: node && trie.places.library[place] ? "library" : "own",
      onclick: () => this.pick(node),
    }, name,
    make("td", { class: "number", title: exactAmount(view.metric, this.value(node)), text: amount(view.metric, this.value(node)) }),
    make("td", { class: "number share" }, make("span", { class: "track" }, bar), make("span", { class: "percent", text: share(this.value(node), view.total) })),
    make("td", { class: "path", title: trie.where(place), text: shortPath(trie.where(place)) }),
    make("td", { class: "path", text: trie.module(place) }));
  }

  // Search

  /** Marks frames whose function, file or module holds `text`; gives what they cost together. */
  search(text) {
    const { trie, view } = this;
    this.matches = null;
    this.redraw();
    if (!text) return null;
    const wanted = text.toLowerCase();
    const hits = Uint8Array.from(trie.strings, (string) => (string.toLowerCase().includes(wanted) ? 1 : 0));
    const { places } = trie;
    const matches = new Uint8Array(places.count);
    for (let place = 1; place < places.count; place++) {
      matches[place] = hits[places.function[place]] | hits[places.path[place]] | hits[places.module[place]];
    }
    this.matches = matches;
    const found = new Set();
    let frames = 0;
    let sum = 0;
    let outermostEnd = 0;
    for (let node = 1; node < view.count; node++) {
      if (!matches[view.place[node]] || this.value(node) <= 0) continue;
      frames++;
      found.add(view.place[node]);
      // Matches inside a match are part of its value already.
      if (node >= outermostEnd) {
        sum += this.value(node);
        outermostEnd = view.end[node];
      }
    }
    return { places: found.size, frames, sum };
  }

  nextMatch(direction) {
    const { view } = this;
    if (!this.matches) return;
    for (let step = 1; step <= view.count; step++) {
      const node = (this.selected + direction * step + view.count * 2) % view.count;
      if (node && this.matches[view.place[node]] && this.value(node) > 0) {
        this.select(node);
        return;
      }
    }
  }
}
