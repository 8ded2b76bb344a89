// service.js ROUNDS: an HTTP service and its clients in one process, 8 connections, 200 requests a round.
const http = require("http");

const requests = 200 * Number(process.argv[2]);
let [begun, ended] = [0, 0];
const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://localhost");
  const page = { path: url.pathname, query: [...url.searchParams], at: Date.now(), lines: ["one", "two", "three"] };
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(page));
});

server.keepAliveTimeout = 600_000; // a client that waits for a busy machine is no error
server.listen(0, "127.0.0.1", () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  const { port } = server.address();
  const next = () => {
    if (begun >= requests) {
      if (ended === requests) {
        agent.destroy();
        server.close();
      }
      return;
    }
    const path = `/page/${begun++}?user=${begun % 97}&lang=en`;
    http.get({ host: "127.0.0.1", port, path, agent }, (response) => {
      response.resume();
      response.on("end", () => {
        ended++;
        next();
      });
    });
  };
  for (let it = 0; it < 8; it++) next();
});
