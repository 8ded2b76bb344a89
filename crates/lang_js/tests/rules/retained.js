const { EventEmitter } = require('events');
const bus = new EventEmitter();

class Widget {
  constructor(element) {
    this.element = element;
    this.onResize = this.onResize.bind(this);
    window.addEventListener('resize', this.onResize); // expect: retained-object
    document.addEventListener('click', () => this.close(), { once: true });
  }
  onResize() { this.element.textContent = String(window.innerWidth); }
  close() { this.element.remove(); }
}

class Tidy {
  constructor(element) {
    this.element = element;
    this.onResize = this.onResize.bind(this);
    window.addEventListener('resize', this.onResize);
  }
  onResize() { this.element.textContent = ''; }
  destroy() { window.removeEventListener('resize', this.onResize); }
}

class Clock extends HTMLElement {
  connectedCallback() {
    this.timer = setInterval(() => this.tick(), 1000); // expect: retained-object
    document.addEventListener('visibilitychange', this.update); // expect: retained-object
  }
  tick() { this.textContent = Date.now(); }
  update = () => { this.tick(); };
}

class GoodClock extends HTMLElement {
  connectedCallback() {
    this.timer = setInterval(() => this.tick(), 1000);
  }
  disconnectedCallback() { clearInterval(this.timer); }
  tick() { this.textContent = Date.now(); }
}

class Wrong extends HTMLElement {
  connectedCallback() {
    window.addEventListener('scroll', this.onScroll.bind(this)); // expect: retained-object
  }
  disconnectedCallback() {
    window.removeEventListener('scroll', this.onScroll.bind(this));
  }
  onScroll() { this.tick(); }
}

class View {
  constructor(store) {
    this.store = store;
    this.store.on('change', () => this.render()); // expect: retained-object
  }
  render() {}
  destroy() { this.dead = true; }
}

const http = require('http');
http.createServer((req, res) => {
  bus.on('update', (data) => res.write(data)); // expect: retained-object
  req.on('data', (chunk) => res.write(chunk));
  const t = setInterval(() => res.write('ping'), 1000);
  req.on('close', () => clearInterval(t));
  setInterval(() => res.write('x'), 500); // expect: retained-object
}).listen(80);

process.on('exit', () => console.log('bye'));
setInterval(() => console.log('alive'), 60000);

function poll(url) {
  return setInterval(() => fetch(url), 1000);
}

function track(element) {
  const rect = element.getBoundingClientRect();
  document.addEventListener('mousemove', (event) => { // expect: retained-object
    element.style.left = event.clientX - rect.left;
  });
}
module.exports = { Widget, Tidy, View, poll, track };

const hub = require('./hub');

export class Seat {
  constructor() {
    hub.on('turn', () => this.turn()); // expect: retained-object
    this.left = () => this.turn();
    hub.on('left', this.left);
  }
  turn() {}
  close() {
    hub.off('left', this.left);
  }
}
