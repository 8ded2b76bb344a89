// Tables: sorting, findings with their details, top sites, children.

const SEVERITIES = ["error", "warning", "note"];

/**
 * A table whose columns sort. `columns`: `{label, key, numeric, cell}`, where `key` gives what is
 * compared and `cell` an element or text. Shows `limit` rows; `grow` shows more.
 */
class SortableTable {
  constructor({ caption, columns, rows, limit, onrow }) {
    Object.assign(this, { columns, rows, limit, onrow });
    this.head = make("tr");
    this.body = make("tbody");
    this.element = make("table", { class: "data" }, make("caption", { class: "hidden", text: caption }), make("thead", {}, this.head), this.body);
    this.sorted = { column: -1, ascending: false };
    this.headers = columns.map((column, index) => {
      const button = make("button", { type: "button", text: column.label, onclick: () => this.sort(index) });
      return make("th", { scope: "col", class: column.class }, button);
    });
    this.head.append(...this.headers);
    this.fill();
  }

  sort(index) {
    const { column, ascending } = this.sorted;
    const numeric = this.columns[index].numeric;
    this.sorted = { column: index, ascending: column === index ? !ascending : !numeric };
    const sign = this.sorted.ascending ? 1 : -1;
    const key = this.columns[index].key;
    this.rows.sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      return sign * (numeric ? x - y : x < y ? -1 : x > y ? 1 : 0);
    });
    this.headers.forEach((header, at) => {
      if (at === index) header.setAttribute("aria-sort", this.sorted.ascending ? "ascending" : "descending");
      else header.removeAttribute("aria-sort");
    });
    this.fill();
  }

  grow(by) {
    this.limit += by;
    this.fill();
  }

  fill() {
    const rows = [];
    for (const row of this.rows.slice(0, this.limit)) {
      const cells = this.columns.map((column) => {
        const content = column.cell(row);
        return make(column.header ? "th" : "td", { class: column.class, scope: column.header ? "row" : null }, content);
      });
      const element = make("tr", {}, ...cells);
      rows.push(element, ...(this.onrow?.(element, row, this.columns.length) ?? []));
    }
    this.body.replaceChildren(...rows);
  }
}

function orDash(value, format) {
  return value === null || value === undefined ? make("span", { class: "none", text: "–" }) : format(value);
}

function spotCell(spot) {
  const at = spotText(spot);
  if (!spot.function && !at) return make("span", { class: "none", text: "unknown" });
  const short = spot.path ? [shortPath(spot.path), spot.line].filter((it) => it).join(":") : at;
  return make("span", { class: "spot", title: [spot.function, at].filter((it) => it).join("\n") },
    spot.function ? make("code", { text: spot.function }) : null,
    short && short !== spot.function ? make("span", { class: "path", text: short }) : null);
}

/** The place below the message, where the window has no room for a column of its own. */
function narrowSpot(spot) {
  const cell = spotCell(spot);
  cell.classList.add("narrow");
  return cell;
}

function findingsTable(overview) {
  const open = new Set();
  let serial = 0;
  const onrow = (element, finding, span) => {
    const button = element.querySelector("button.expand");
    const id = `finding-${serial++}`;
    const detail = make("tr", { class: "detail", id, hidden: true });
    const toggle = (show) => {
      detail.hidden = !show;
      button.setAttribute("aria-expanded", show);
      element.classList.toggle("open", show);
      if (show) open.add(finding);
      else open.delete(finding);
      if (show && !detail.firstChild) detail.append(make("td", { colspan: span }, findingDetail(overview, finding)));
    };
    button.setAttribute("aria-controls", id);
    element.addEventListener("click", (event) => {
      const isSelecting = String(getSelection()).length > 0 && !event.target.closest("button");
      if (!isSelecting) toggle(detail.hidden);
    });
    toggle(open.has(finding));
    return [detail];
  };
  const columns = [
    {
      label: "Severity",
      key: (it) => SEVERITIES.indexOf(it.severity),
      class: "severity-cell",
      cell: (it) => make("button", { type: "button", class: `expand severity ${it.severity}`, "aria-expanded": "false",
        "aria-label": `${it.severity}: ${it.message}` }, make("span", { class: "arrow", "aria-hidden": "true" }), it.severity),
    },
    { label: "Finding", key: (it) => it.message, class: "message", cell: (it) => make("div", { text: it.message }, narrowSpot(it.place)) },
    { label: "Bytes", key: (it) => it.bytes ?? -1, numeric: true, class: "number", cell: (it) => orDash(it.bytes, count) },
    { label: "Blocks", key: (it) => it.blocks ?? -1, numeric: true, class: "number blocks", cell: (it) => orDash(it.blocks, count) },
    { label: "Place", key: (it) => `${it.place.path} ${String(it.place.line).padStart(9)}`, class: "place", cell: (it) => spotCell(it.place) },
    { label: "Rule", key: (it) => it.rule, class: "rule", cell: (it) => it.rule },
    { label: "Kind", key: (it) => it.kind, class: "kind", cell: (it) => it.kind || orDash(null) },
  ];
  return new SortableTable({ caption: "Findings", columns, rows: [...overview.findings], limit: 100, onrow });
}

function findingDetail(overview, finding) {
  const facts = [finding.kind ? `${finding.rule} (${finding.kind})` : finding.rule, finding.confidence, `found by ${finding.engine}`];
  const detail = make("div", { class: "finding" },
    make("p", { class: "facts", text: facts.join(" · ") }));
  if (finding.source) detail.append(sourceExcerpt(finding.place, finding.source));
  if (finding.help) detail.append(make("p", { class: "help" }, make("strong", { text: "help: " }), finding.help));
  if (finding.fix) detail.append(fixText(finding.fix));
  if (finding.stack.length) detail.append(make("h3", { text: stackHeading(finding) }), stackList(overview, finding));
  if (finding.held) detail.append(heldBy(finding.held));
  if (finding.retainers) detail.append(retainedBy(finding.retainers));
  if (finding.shares.length > 1) detail.append(otherStacks(overview, finding));
  for (const related of finding.related) {
    detail.append(make("h3", { text: related.message }));
    if (!related.stack.length) detail.append(make("p", {}, spotCell(related.place)));
    if (related.source) detail.append(sourceExcerpt(related.place, related.source));
    if (related.stack.length) detail.append(stackList(overview, related));
  }
  return detail;
}

/** The chain of pointers that keeps the finding's memory alive. */
function heldBy(held) {
  const list = make("ol", { class: "stack chain" }, make("li", { class: "own" }, make("code", { text: held.root })));
  held.steps.forEach(([[size, blocks], offset, spot], at) => {
    if (held.left_out && at === held.after) list.append(make("li", { class: "library", text: counted(held.left_out, "more step") }));
    const amount = `${bytes(size)} in ${counted(blocks, "block")}`;
    list.append(make("li", { class: "own" },
      make("code", { text: spot.function || "unknown" }),
      make("span", { class: "path", text: spotText(spot) }),
      make("span", { class: "path", text: offset === null ? amount : `${amount}, pointer at byte ${offset}` })));
  });
  const [size, blocks] = held.retained;
  return make("div", { class: "held" },
    make("h3", { text: "Held by" }), list,
    make("p", { class: "path", text: `Freeing all blocks of this finding would give back ${bytes(size)} in ${counted(blocks, "block")}.` }));
}

/** The chain of references that keeps an object alive. */
function retainedBy(retainers) {
  const list = make("ol", { class: "stack chain" });
  retainers.steps.forEach(([object, spot], at) => {
    if (retainers.left_out && at === retainers.after) list.append(make("li", { class: "library", text: counted(retainers.left_out, "more step") }));
    list.append(make("li", { class: "own" }, make("code", { text: object }), make("span", { class: "path", text: spotText(spot) })));
  });
  const [size, blocks] = retainers.retained;
  return make("div", { class: "held" },
    make("h3", { text: "Held by" }), list,
    make("p", { class: "path", text: `Without the last one ${bytes(size)} in ${counted(blocks, "object")} would go.` }));
}

/** Objects by class, in one heap or as changes between two. */
function classesTable(classes) {
  const signed = (value) => `${value < 0 ? "−" : "+"}${count(Math.abs(value))}`;
  const isChange = classes.some((it) => it.change);
  const columns = [
    { label: "Class", key: (it) => it.name, class: "message", cell: (it) => make("code", { text: it.name }) },
    ...(isChange ? [
      { label: "More bytes", key: (it) => it.change?.[1] ?? 0, numeric: true, class: "number", cell: (it) => signed(it.change?.[1] ?? 0) },
      { label: "More objects", key: (it) => it.change?.[0] ?? 0, numeric: true, class: "number", cell: (it) => signed(it.change?.[0] ?? 0) },
    ] : []),
    { label: "Retained", key: (it) => it.retained, numeric: true, class: "number", cell: (it) => count(it.retained) },
    { label: "Shallow", key: (it) => it.total[0], numeric: true, class: "number", cell: (it) => count(it.total[0]) },
    { label: "Objects", key: (it) => it.total[1], numeric: true, class: "number", cell: (it) => count(it.total[1]) },
  ];
  return new SortableTable({ caption: "Classes", columns, rows: [...classes], limit: 100 });
}

function stackHeading(finding) {
  const [heaviest] = finding.shares;
  const heading = finding.rule.endsWith("-free") ? "Freed at" : "Allocated at";
  return heaviest ? `${heading} (${stackShare(heaviest)})` : heading;
}

function stackShare(share) {
  return share.bytes ? `${bytes(share.bytes)} in ${counted(share.blocks, "block")}` : counted(share.blocks, "block");
}

/** The stacks that lead to the place besides the heaviest one; each opens by itself. */
function otherStacks(overview, finding) {
  const others = finding.shares.slice(1).map((share) =>
    make("details", {}, make("summary", { text: stackShare(share) }), stackList(overview, share)));
  const hidden = finding.stack_count - finding.shares.length;
  return make("div", { class: "others" },
    make("h3", { text: counted(finding.stack_count - 1, "other call stack") }),
    ...others,
    hidden ? make("p", { class: "path", text: `and ${count(hidden)} more` }) : null);
}

function stackList(overview, { stack, more_frames: more }) {
  const list = make("ol", { class: "stack" });
  for (const index of stack) {
    const frame = overview.frames[index];
    list.append(make("li", { class: frame.library ? "library" : "own" },
      make("code", { text: frame.function }),
      frame.inlined ? make("span", { class: "path", text: "inlined" }) : null,
      make("span", { class: "path", text: frame.path ? spotText(frame) : frame.module })));
  }
  if (more) list.append(make("li", { class: "library", text: `${counted(more, "more frame")}` }));
  return list;
}

function sourceExcerpt(spot, source) {
  const [from, to] = source.marked;
  const lines = source.lines.map((line, at) => {
    const number = source.first_line + at;
    const isMarked = number >= from && number <= to;
    return make("span", { class: isMarked ? "line marked" : "line" },
      make("span", { class: "lineno", text: `${isMarked ? "▸" : " "}${String(number).padStart(5)}` }), `${line}\n`);
  });
  return make("figure", { class: "source" },
    make("figcaption", { text: spotText(spot) }),
    make("pre", { tabindex: "0", role: "region", "aria-label": `Source of ${spotText(spot)}` }, make("code", {}, ...lines)));
}

function fixText(fix) {
  const edits = fix.edits.map(([spot, text]) => make("div", {}, make("span", { class: "path", text: spotText(spot) }), make("pre", { text: text })));
  return make("div", { class: "help" }, make("p", {}, make("strong", { text: `fix (${fix.safety}): ` }), fix.message), ...edits);
}

/** The places that cost most by the metric; `onpick` gets the place that was chosen. */
function sitesTable(trie, metric, onpick) {
  const { own, ownBlocks, total } = trie.sites(metric);
  const all = trie.metric(metric).total;
  const best = [...own.keys()].filter((place) => own[place] > 0).sort((a, b) => own[b] - own[a]).slice(0, 200);
  const columns = [
    {
      label: "Function",
      key: (place) => trie.name(place),
      header: true,
      class: "message",
      cell: (place) => make("button", { type: "button", class: "link", text: trie.name(place), onclick: () => onpick(place) }),
    },
    { label: "Place", key: (place) => trie.where(place), class: "place", cell: (place) => make("span", { class: "path", title: trie.where(place), text: shortPath(trie.where(place)) || trie.module(place) }) },
    { label: "Allocated here", key: (place) => own[place], numeric: true, class: "number", cell: (place) => make("span", { title: exactAmount(metric, own[place]), text: amount(metric, own[place]) }) },
    { label: "Share", key: (place) => own[place], numeric: true, class: "number", cell: (place) => share(own[place], all) },
    ...(ownBlocks ? [{ label: "Blocks", key: (place) => ownBlocks[place], numeric: true, class: "number", cell: (place) => count(ownBlocks[place]) }] : []),
    { label: "With callees", key: (place) => total[place], numeric: true, class: "number", cell: (place) => amount(metric, total[place]) },
    { label: "Module", key: (place) => trie.module(place), class: "module", cell: (place) => trie.module(place) },
  ];
  return new SortableTable({ caption: `Top sites by ${metric.label.toLowerCase()}`, columns, rows: best, limit: 200 });
}

function childrenTable(children) {
  const columns = [
    { label: "Command", key: (it) => it.command, header: true, class: "message", cell: (it) => make("code", { text: it.command }) },
    { label: "PID", key: (it) => it.pid, numeric: true, class: "number", cell: (it) => String(it.pid) },
    { label: "End", key: (it) => it.exit, cell: (it) => it.exit },
    { label: "Allocations", key: (it) => it.allocations, numeric: true, class: "number", cell: (it) => count(it.allocations) },
    { label: "Definitely lost", key: (it) => it.lost?.[0] ?? -1, numeric: true, class: "number", cell: (it) => orDash(it.lost, ([lost]) => bytes(lost)) },
    { label: "Errors", key: (it) => it.errors, numeric: true, class: "number", cell: (it) => count(it.errors) },
    { label: "Recording", key: (it) => it.recording ?? "", class: "path", cell: (it) => orDash(it.recording, (name) => name) },
  ];
  return new SortableTable({ caption: "Child processes", columns, rows: [...children], limit: 500 });
}
