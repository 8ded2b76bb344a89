const fs = require("fs");

const labels = new Map();
const weak = new WeakMap();
let removed = null;
const reused = [];
let last = null;
let report = null;

export function label(event) {
  const node = event.currentTarget;
  labels.set(node, { at: Date.now() }); // expect: retained-object
  weak.set(node, { at: Date.now() });
}

export function drop(event) {
  const node = event.currentTarget;
  node.remove();
  removed = node; // expect: retained-object
}

export function hide(event) {
  const node = event.currentTarget;
  node.remove();
  reused.push(node);
}

export function show(parent) {
  parent.appendChild(reused.pop());
}

export function flash(parent) {
  last = document.createElement("div");
  parent.appendChild(last);
  parent.removeChild(last); // expect: retained-object
}

export function summarize(path) {
  const rows = new Array(1_000_000).fill(path);
  report = () => rows.length; // expect: retained-object
}

export function size(path) {
  fs.open(path, "r", (error, descriptor) => { // expect: resource-leak
    if (error) throw error;
    console.log(fs.fstatSync(descriptor).size);
  });
  fs.open(path, "r", (error, descriptor) => {
    if (error) return;
    try {
      console.log(fs.fstatSync(descriptor).size);
    } finally {
      fs.closeSync(descriptor);
    }
  });
}

class Panel extends HTMLElement {
  connectedCallback() {
    this.sizes = new ResizeObserver(() => this.draw()); // expect: resource-leak
    this.sizes.observe(this);
    this.changes = new MutationObserver(() => this.draw());
    this.changes.observe(this, { childList: true });
  }

  disconnectedCallback() {
    this.changes.disconnect();
  }

  draw() {
    this.textContent = report();
  }
}
