// Puts the page together: the overview at once, the stacks when they have been read.

function showVerdict({ severity, verdict, program, recording, heap }) {
  const box = byId("verdict");
  box.classList.add(severity ?? "clean");
  box.querySelector("h1").textContent = verdict;
  const facts = [];
  if (program) {
    document.title = `Heapwise: ${program.command.split(" ")[0]}`;
    box.querySelector("code").textContent = program.command;
    facts.push(`PID ${program.pid}`, `ran ${duration(program.duration_ns)}`, program.exit);
  }
  if (heap) {
    if (!program) document.title = `Heapwise: ${recording}`;
    facts.push(`${program ? "heap of " : ""}${bytes(heap.total[0])} in ${counted(heap.total[1], "object")}`, counted(heap.references, "reference"));
    if (heap.before) facts.push(`before ${bytes(heap.before[0])} in ${counted(heap.before[1], "object")}`);
  }
  if (recording) facts.push(`${heap && !program ? "snapshot" : "recording"} ${recording}`);
  box.querySelector(".command").hidden = !program;
  box.querySelector(".facts").textContent = facts.join(" · ");
  box.hidden = false;
}

function showTiles(program) {
  const tiles = byId("tiles");
  const tile = (label, value, detail, exact, state) =>
    make("div", { class: state }, make("dt", { text: label }), make("dd", { title: exact, text: value }), make("dd", { class: "detail", text: detail }));
  const [definite, indirect, possible, reachable] = program.leaks ?? [];
  const others = program.leaks && [["indirectly", indirect], ["possibly", possible], ["reachable", reachable]]
    .filter(([, [lost]]) => lost > 0).map(([name, [lost]]) => `${name} ${bytes(lost)}`).join(", ");
  tiles.replaceChildren(
    definite
      ? tile("Definitely lost", bytes(definite[0]), `${counted(definite[1], "block")}${others ? `; ${others}` : ""}`, exactBytes(definite[0]), definite[0] ? "bad" : "good")
      : tile("Live at end", bytes(program.live[0]), `${counted(program.live[1], "block")}; leak classes unknown`, exactBytes(program.live[0])),
    tile("Peak", bytes(program.peak_bytes), `live bytes, at ${duration(program.peak_at_ns)}`, exactBytes(program.peak_bytes)),
    program.peak_rss_bytes
      ? tile("Peak RSS", bytes(program.peak_rss_bytes), "resident memory", exactBytes(program.peak_rss_bytes))
      : tile("Peak RSS", "–", "not sampled"),
    tile("Allocations", shortCount(program.allocations), `${bytes(program.allocated_bytes)} in total`, counted(program.allocations, "allocation")),
    tile("Temporary", share(program.temporary, program.allocations), `${counted(program.temporary, "allocation")} freed at once`, "Freed before the same thread allocated again"),
  );
  tiles.hidden = false;
}

function showFindings(overview) {
  const section = byId("findings");
  const totals = SEVERITIES.map((name) => [overview.findings.filter((it) => it.severity === name).length, name]).filter(([n]) => n);
  byId("findings-count").textContent = totals.map(([n, name]) => counted(n, name)).join(", ") || "none";
  section.hidden = false;
  if (!overview.findings.length) {
    byId("findings-table").replaceChildren(make("p", { class: "empty", text: "Nothing was found." }));
    return;
  }
  const table = findingsTable(overview);
  const more = byId("findings-more");
  const refresh = () => {
    more.hidden = table.limit >= table.rows.length;
    more.textContent = `Show more (${count(Math.max(0, table.rows.length - table.limit))} hidden)`;
  };
  more.addEventListener("click", () => {
    table.grow(200);
    refresh();
  });
  refresh();
  byId("findings-table").replaceChildren(table.element);
  if (overview.findings.length <= 3 || overview.findings[0].severity === "error") table.element.querySelector("button.expand").click();
}

function showNotes({ notes, children }) {
  if (notes.length) {
    byId("notes").querySelector("ul").replaceChildren(...notes.map((text) => make("li", { text })));
    byId("notes").hidden = false;
  }
  if (children.length) {
    byId("children").querySelector(".scroll").replaceChildren(childrenTable(children).element);
    byId("children").hidden = false;
  }
}

function showClasses({ heap }) {
  if (!heap?.classes.length) return;
  byId("classes").querySelector(".scroll").replaceChildren(classesTable(heap.classes).element);
  byId("classes").hidden = false;
}

function showSections() {
  const shown = [...document.querySelectorAll("main > section:not([hidden])")];
  byId("sections").replaceChildren(...shown.map((it) => make("a", { href: `#${it.id}`, text: it.querySelector("h2").textContent })));
}

function currentTheme() {
  return document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

/** The button changes the theme for this view; the page begins with the system's. */
function handleTheme(onchange) {
  const button = byId("theme");
  const refresh = () => {
    button.textContent = currentTheme() === "dark" ? "Light theme" : "Dark theme";
    onchange();
  };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = currentTheme() === "dark" ? "light" : "dark";
    refresh();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
  refresh();
}

/** The part of the page that shows stacks: which tree, by which metric, as what. */
class Stacks {
  constructor(trie) {
    this.trie = trie;
    this.flame = new Flame(trie);
    this.flame.onrefine = (path) => this.refine(path);
    this.refined = [];
    this.stale = { flame: true, sites: true };
    const options = METRICS.map((metric) => {
      const isEmpty = !trie.has(metric);
      return make("option", { value: metric.id, disabled: isEmpty, text: isEmpty ? `${metric.label} (none)` : metric.label });
    });
    byId("metric").replaceChildren(...options);
    this.metric = METRICS.find((metric) => trie.has(metric)) ?? METRICS[3];
    byId("metric").value = this.metric.id;
    byId("metric").addEventListener("change", () => this.update());
    byId("direction").addEventListener("change", () => this.update());
    byId("shape").addEventListener("change", () => this.showShape());
    this.handleSearch();
    byId("stacks-tools").hidden = false;
    byId("stacks-count").textContent = `${counted(trie.stacks, "distinct stack")}, ${counted(trie.count - 1, "frame")}`;
    this.update();
  }

  get isInverted() {
    return document.querySelector("input[name=direction]:checked").value === "inverted";
  }

  update() {
    const { flame, trie } = this;
    const isSameTree = flame.view && flame.view.inverted === this.isInverted;
    const path = isSameTree ? flame.places(flame.zoomed) : [];
    this.metric = METRICS.find(({ id }) => id === byId("metric").value);
    this.refined = path;
    // The old tree may hold the old metric's sums, which are large.
    flame.view = null;
    flame.show(this.tree(path), path);
    this.stale.sites = true;
    this.search();
    this.showShape();
    announce(`${this.metric.label}: ${exactAmount(this.metric, flame.view.total)}`);
  }

  tree(path) {
    const view = this.isInverted ? this.trie.inverted(this.metric, path) : this.trie.callersFirst(this.metric);
    return Object.assign(view, { inverted: this.isInverted });
  }

  /** Rebuilds an inverted tree for a much smaller or larger focus; whether it did. */
  refine(path) {
    const before = this.flame.value(this.flame.find(this.refined));
    const after = this.flame.value(this.flame.find(path));
    if (after * 8 > before && after < before * 8) return false;
    this.refined = path;
    this.flame.show(this.tree(path), path);
    return true;
  }

  showShape() {
    const isFlame = document.querySelector("input[name=shape]:checked").value === "flame";
    byId("flame-panel").hidden = !isFlame;
    byId("sites-panel").hidden = isFlame;
    byId("direction").disabled = !isFlame;
    if (isFlame || !this.stale.sites) return;
    this.stale.sites = false;
    byId("sites-panel").replaceChildren(sitesTable(this.trie, this.metric, (place) => this.pickSite(place)).element);
  }

  pickSite(place) {
    document.querySelector("input[name=shape][value=flame]").checked = true;
    byId("search").value = this.trie.name(place);
    this.showShape();
    this.search();
    this.flame.nextMatch(1);
    byId("flame").focus();
  }

  handleSearch() {
    const input = byId("search");
    let timer = 0;
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.search(), 120);
    });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        this.search();
        this.flame.nextMatch(event.shiftKey ? -1 : 1);
      } else if (event.key === "Escape") {
        input.value = "";
        this.search();
        byId("flame").focus();
      }
    });
    document.addEventListener("keydown", (event) => {
      const isTyping = event.target.closest?.("input[type=search], select, textarea");
      if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      input.focus();
      input.select();
    });
  }

  search() {
    const text = byId("search").value.trim();
    const found = this.flame.search(text);
    const { metric, total } = this.flame.view;
    byId("matches").textContent = !found
      ? ""
      : found.frames
        ? `${counted(found.places, "place")}, ${counted(found.frames, "frame")}: ${share(found.sum, total)} (${amount(metric, found.sum)})`
        : "no match";
  }
}

async function showOverview() {
  const overview = JSON.parse(new TextDecoder().decode(await unpack("overview-data")));
  showVerdict(overview);
  if (overview.program) showTiles(overview.program);
  if (overview.timeline.at.length > 1) {
    byId("timeline").hidden = false;
    new TimelineChart(overview.timeline, overview.program);
  }
  showFindings(overview);
  byId("stacks").hidden = !overview.has_stacks;
  showClasses(overview);
  showNotes(overview);
  showSections();
  byId("foot").textContent = `Made by Heapwise ${overview.version}. This file is complete in itself and asks nothing of the network.`;
  return overview;
}

async function start() {
  let stacks = null;
  handleTheme(() => stacks?.flame.readColors());
  const complete = new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve, { once: true }));
  const overview = await showOverview();
  await complete;
  if (overview.has_stacks) stacks = new Stacks(new Trie(await unpack("trie-data")));
  performance.mark("heapwise-ready");
}

start().catch((error) => {
  const box = byId("failure");
  box.textContent = `This page could not be shown: ${error.message}. It needs a browser of 2024 or later.`;
  box.hidden = false;
  throw error;
});
