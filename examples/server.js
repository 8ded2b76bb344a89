// An HTTP server that keeps more with each request: sessions that never end, and a listener for each visitor.
//
//   node --heapsnapshot-signal=SIGUSR2 examples/server.js 8080

const http = require("http");
const EventEmitter = require("events");

class Session {
  constructor(user) {
    this.user = user;
    this.since = Date.now();
    this.pages = ["/login"];
  }
}

const sessions = new Map();
const news = new EventEmitter();
news.setMaxListeners(0);
const lastVisits = []; // trimmed: no leak

function login(user) {
  const session = new Session(user);
  sessions.set(`${user}-${session.since}-${sessions.size}`, session);
  lastVisits.push(user);
  if (lastVisits.length > 50) lastVisits.shift();
  news.on("headline", (text) => session.pages.push(text));
  return session;
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://localhost");
  if (url.pathname === "/login") {
    const session = login(url.searchParams.get("user") ?? "guest");
    response.end(`welcome, ${session.user}\n`);
  } else if (url.pathname === "/stop") {
    response.end("bye\n");
    server.close(() => process.exit());
    server.closeAllConnections();
  } else {
    response.statusCode = 404;
    response.end();
  }
});

server.listen(Number(process.argv[2] ?? 8080), "127.0.0.1", () => console.log("ready"));
