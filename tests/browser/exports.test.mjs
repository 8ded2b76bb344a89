// Exports in the tools they are for: speedscope's published page, Firefox Profiler's own reader, and for memcheck's XML
// a parser and memcheck. `crates/cli/tests/exports.rs` does the same for tools that are no packages of npm.
//
//   HEAPWISE=path/to/heapwise node --test exports.test.mjs

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const { CHROMIUM = "/usr/bin/chromium", HEAPWISE } = process.env;
const skip = HEAPWISE ? false : "HEAPWISE does not name the binary";
const recording = fileURLToPath(new URL("../recordings/sessions.heapwise", import.meta.url));
// What the program of the recording did.
const ALLOCATED = 1_334_994;
const LIVE = 1_325_694;
const LOST_KIB = "16.41 KB";
/** Its stacks are five frames deep. */
const COLORS = 5;

const folder = mkdtempSync(join(tmpdir(), "heapwise-exports-"));
const require = createRequire(import.meta.url);
const installed = (name) => dirname(require.resolve(`${name}/package.json`));

function exported(file, ...flags) {
  const path = join(folder, file);
  execFileSync(HEAPWISE, ["export", ...flags, "--quiet", "--output", path, recording]);
  return path;
}

let browser;
before(async () => {
  if (skip) return;
  // speedscope draws with WebGL, here without a graphics card.
  const args = ["--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"];
  browser = await chromium.launch({ executablePath: CHROMIUM, args });
});
after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Opens a file as speedscope's command does; gives what its three views show. */
async function speedscope(file) {
  const page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
  page.setDefaultTimeout(30_000);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("dialog", (dialog) => {
    complaints.push(dialog.message());
    return dialog.dismiss();
  });
  const [name, bytes] = [file.slice(folder.length + 1), readFileSync(file).toString("base64")];
  const script = join(folder, "load.js");
  writeFileSync(script, `speedscope.loadFileFromBase64(${JSON.stringify(name)}, ${JSON.stringify(bytes)})`);
  const index = join(installed("speedscope"), "dist/release/index.html");
  await page.goto(`${pathToFileURL(index).href}#localProfilePath=${script}`);
  await page.getByText("Sandwich").waitFor();
  const colors = await colorsDrawn(page);
  await page.keyboard.press("3");
  await page.getByText("Symbol Name").waitFor();
  const shown = await page.locator("body").innerText();
  await page.close();
  assert.deepEqual(complaints, []);
  return { colors, shown };
}

/** How many colors lie one below the other in the flame graph, white between frames among them. */
async function colorsDrawn(page) {
  let colors = 0;
  for (let tries = 0; colors < COLORS && tries < 40; tries++) {
    await page.waitForTimeout(250);
    const picture = (await page.screenshot()).toString("base64");
    colors = await page.evaluate(async (picture) => {
      const image = new Image();
      image.src = `data:image/png;base64,${picture}`;
      await image.decode();
      const canvas = new OffscreenCanvas(image.width, image.height);
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      const middle = context.getImageData(image.width / 2, 140, 1, image.height - 140).data;
      return new Set(new Uint32Array(middle.buffer)).size;
    }, picture);
  }
  return colors;
}

for (const [file, flags, figure] of [
  ["sessions.speedscope.json", ["--to", "speedscope"], LOST_KIB],
  ["sessions.pb.gz", ["--to", "pprof"], "1.19 MB"],
  ["sessions.folded.txt", ["--to", "folded", "--by", "lost"], "16,800"],
]) {
  test(`speedscope draws ${file}`, { skip }, async () => {
    const { colors, shown } = await speedscope(exported(file, ...flags));
    assert.ok(colors >= COLORS, `${colors} colors`);
    assert.match(shown, /operator new\(unsigned long\)/);
    assert.match(shown, /sessions\+0x1517/);
    assert.ok(shown.includes(figure), shown);
  });
}

test("Firefox Profiler counts the same bytes", { skip }, () => {
  const cli = join(installed("@firefox-devtools/profiler-cli"), "dist/profiler-cli.js");
  // Its sessions live under the home folder.
  const env = { ...process.env, HOME: folder, USERPROFILE: folder };
  const ask = (...words) => {
    const { stdout, stderr, status } = spawnSync(process.execPath, [cli, ...words], { env, encoding: "utf8" });
    return { status, stdout, stderr };
  };
  const said = (...words) => {
    const { status, stdout, stderr } = ask(...words);
    assert.equal(status, 0, `${words.join(" ")}: ${stderr}`);
    return stdout;
  };
  // It gives its reader half a second to start, which a busy machine may exceed.
  const profile = exported("sessions.json", "--to", "firefox");
  let loaded = false;
  for (let tries = 0; !loaded && tries < 5; tries++) loaded = ask("load", profile).status === 0;
  assert.ok(loaded, ask("load", profile).stderr);
  try {
    const bytes = (strategy) => {
      said("strategy", strategy);
      const { functions } = JSON.parse(said("thread", "functions", "--json"));
      return functions.reduce((sum, it) => sum + it.selfSamples, 0);
    };
    assert.equal(bytes("native-allocations"), ALLOCATED);
    assert.equal(bytes("native-retained-allocations"), LIVE);
    const { counters } = JSON.parse(said("counter", "list", "--json"));
    assert.deepEqual(counters.map((it) => it.name), ["malloc", "RSS"]);
  } finally {
    ask("stop", "--all");
  }
});

const BAD = `
#include <cstdlib>
#include <cstring>
struct Node { Node *next; char data[40]; };
void *kept;
__attribute__((noinline)) Node *make(Node *next) { Node *it = new Node; it->next = next; return it; }
__attribute__((noinline)) void clear() { char stack[8192]; memset(stack, 0, sizeof stack); asm volatile("" :: "r"(stack) : "memory"); }
int main() {
    Node *volatile list = nullptr;
    for (int i = 0; i < 5; i++) list = make(list);
    list = nullptr;
    kept = malloc(77);
    int *volatile numbers = new int[4]; free(numbers);
    clear();
    free((char *)kept + 8);
}
`;

/** Every element as [path, distinct names of children in their order], by a browser's parser. */
const outline = (page, xml) =>
  page.evaluate((xml) => {
    const document = new DOMParser().parseFromString(xml, "application/xml");
    const wrong = document.querySelector("parsererror");
    if (wrong) throw new Error(wrong.textContent);
    // Leaks say `xwhat` where other errors say `what`.
    const path = (it) => (it ? `${path(it.parentElement)}/${it.tagName}` : "");
    return [...document.querySelectorAll("*")].map((it) => [
      path(it),
      [...new Set([...it.children].map((child) => child.tagName.replace("xwhat", "what")))],
    ]);
  }, xml);

test("memcheck's XML has memcheck's elements in its order", { skip }, async (context) => {
  if (spawnSync("valgrind", ["--version"]).error || spawnSync("g++", ["--version"]).error) {
    return context.skip("valgrind or g++ is not installed");
  }
  const at = (name) => join(folder, name);
  writeFileSync(at("bad.cpp"), BAD);
  execFileSync("g++", ["-g", "-w", "-o", at("bad"), at("bad.cpp")]);
  const flags = ["--leak-check=full", "--show-leak-kinds=all", "--xml=yes", `--xml-file=${at("theirs.xml")}`];
  spawnSync("valgrind", [...flags, at("bad")], { stdio: "ignore" });
  spawnSync(HEAPWISE, ["run", "--quiet", "-o", at("bad.heapwise"), at("bad")], { stdio: "ignore" });
  execFileSync(HEAPWISE, ["export", "--to", "valgrind-xml", "--output", at("ours.xml"), at("bad.heapwise")]);
  const read = (name) => readFileSync(at(name), "utf8");
  const page = await browser.newPage();
  const theirs = new Map();
  for (const [path, children] of await outline(page, read("theirs.xml"))) {
    theirs.set(path, [...(theirs.get(path) ?? []), children]);
  }
  const isWithin = (few, many) => few.reduce((from, it) => (from < 0 ? -1 : many.indexOf(it, from)), 0) >= 0;
  for (const [path, children] of await outline(page, read("ours.xml"))) {
    const known = theirs.get(path);
    assert.ok(known, `memcheck has no ${path}`);
    assert.ok(known.some((it) => isWithin(children, it)), `${path}: ${children} is none of ${known.join(" | ")}`);
  }
  const kinds = (name) => [...new Set(read(name).match(/<kind>\w+/g))].sort();
  assert.deepEqual(kinds("ours.xml"), kinds("theirs.xml"));
  await page.close();
});
