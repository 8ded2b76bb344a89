// Opens a report in a real browser and uses it as a person would.
//
//   [REPORT_HTML=report.html [BIG_HTML=large.html] [HOSTILE_HTML=hostile.html]] node --test report.test.mjs
//
// The reports are those of `cargo run -p heapwise-report --example sample_report`, made by pages.mjs
// where none is named. The page's
// content security policy forbids evaluating strings, so nothing here waits with
// `waitForFunction`; `until` polls instead.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { samples } from "./pages.mjs";

const axePath = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const { CHROMIUM = "/usr/bin/chromium" } = process.env;
const { report: REPORT_HTML, big: BIG_HTML, hostile: HOSTILE_HTML } = samples();

/** A loaded machine gets this much more time than an idle one. */
const SLACK = 3;
const FIRST_PAINT_MS = 1000;
const HEAP_BYTES = 100e6;

let browser;
before(async () => {
  assert.ok(REPORT_HTML, "REPORT_HTML names the report to open");
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
});
after(() => browser?.close());

async function until(what, check) {
  for (let tries = 0; tries < 400; tries++) {
    if (await check()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.fail(`never: ${what}`);
}

/** Opens a file; `close` asserts that it asked for nothing, failed nowhere and opened no dialog. */
async function open(file, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  const complaints = [];
  const url = pathToFileURL(resolve(file)).href;
  page.on("request", (request) => {
    if (request.url() !== url && !request.url().startsWith("data:")) complaints.push(`request: ${request.url()}`);
  });
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`console: ${message.text()}`);
  });
  page.on("dialog", (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.goto(url);
  await until("the page is ready", () => page.evaluate(() => performance.getEntriesByName("heapwise-ready").length > 0));
  const close = async () => {
    await context.close();
    assert.deepEqual(complaints, []);
  };
  return { page, context, close };
}

const text = (page, selector) => page.locator(selector).first().textContent();
const crumbs = (page) => page.locator("#crumbs button").allTextContents();
const selectedRow = (page) => text(page, "#context tr[aria-selected=true] .name");

const choose = (page, value) => page.locator(`input[type=radio][value=${value}]`).check();

/** Clicks the flame graph in the middle of a row. */
async function clickRow(page, row, share = 0.25) {
  const canvas = page.locator("#flame");
  await canvas.scrollIntoViewIfNeeded();
  const box = await canvas.boundingBox();
  await canvas.click({ position: { x: box.width * share, y: row * 18 + 9 } });
}

/** Two frames later everything asked for has been drawn. */
function drawn(page) {
  return page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

async function violations(context, page) {
  // Through the debugger, which the page's policy does not bind.
  const session = await context.newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: readFileSync(axePath, "utf8") });
  const { result } = await session.send("Runtime.evaluate", {
    expression: `axe.run(document, { resultTypes: ["violations"] }).then((it) => JSON.stringify(
      it.violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html.slice(0, 200) + " " + node.failureSummary)])))`,
    awaitPromise: true,
    returnByValue: true,
  });
  await session.detach();
  return JSON.parse(result.value);
}

test("a click on a frame zooms and the crumbs lead back", async () => {
  const { page, close } = await open(REPORT_HTML);
  assert.deepEqual(await crumbs(page), ["all"]);
  await clickRow(page, 4);
  const path = await crumbs(page);
  assert.ok(path.length > 2, `crumbs: ${path}`);
  assert.equal(await selectedRow(page), path.at(-1));
  assert.match(await text(page, "#live"), /bytes, .* %, depth \d+/);
  await page.locator("#crumbs button").first().click();
  assert.deepEqual(await crumbs(page), ["all"]);
  await close();
});

test("a search counts its matches and their share", async () => {
  const { page, close } = await open(REPORT_HTML);
  await page.selectOption("#metric", "allocated");
  await page.locator("#search").fill("PARSE");
  await until("matches are counted", async () => /\d+ places?, \d+ frames?: [\d.]+ %/.test(await text(page, "#matches")));
  // Recursion: the inner parse_object is part of the outer one.
  assert.match(await text(page, "#matches"), /^1 place, 2 frames: 67\.\d %/);
  await page.keyboard.press("Enter");
  assert.match(await selectedRow(page), /parse/);
  await page.locator("#search").fill("nowhere");
  await until("nothing matches", async () => (await text(page, "#matches")) === "no match");
  await close();
});

test("metric and direction change the graph", async () => {
  const { page, close } = await open(REPORT_HTML);
  assert.equal(await page.locator("#metric").inputValue(), "lost");
  const value = () => text(page, "#context tbody tr .number");
  const lost = await value();
  await page.selectOption("#metric", "allocations");
  assert.notEqual(await value(), lost);
  assert.match(await text(page, "#live"), /Allocations: 1,260,014 allocations/);
  await choose(page, "inverted");
  const tops = await page.locator("#context tbody tr[aria-level='2'] .name").allTextContents();
  assert.deepEqual(tops.slice(0, 2), ["vasprintf", "operator new(unsigned long)"]);
  assert.equal(await value(), "1.3 M", "the same total in both directions");
  await clickRow(page, 1, 0.9);
  assert.deepEqual(await crumbs(page), ["all", "operator new(unsigned long)"]);
  await choose(page, "sites");
  const sites = await page.locator("#sites-panel tbody th").allTextContents();
  assert.equal(sites[0], "log_line", "libraries are charged to their caller");
  await page.locator("#sites-panel tbody th button").first().click();
  assert.match(await text(page, "#matches"), /^1 place/);
  await close();
});

test("findings sort and open", async () => {
  const { page, close } = await open(REPORT_HTML);
  const table = page.locator("#findings-table table");
  const firstBytes = () => text(page, "#findings-table tbody tr:not(.detail) td:nth-child(3)");
  await table.getByRole("button", { name: "Bytes", exact: true }).click();
  assert.equal(await firstBytes(), "55,200,000");
  assert.equal(await table.locator("th[aria-sort]").getAttribute("aria-sort"), "descending");
  await table.getByRole("button", { name: "Bytes", exact: true }).click();
  assert.equal(await firstBytes(), "–");
  // The worst finding is open from the start, and stays so wherever it is sorted to.
  const detail = table.locator("tr.detail:not([hidden])");
  assert.equal(await detail.count(), 1);
  assert.match(await detail.locator(".marked").textContent(), /12 +r = malloc\(sizeof \*r\);/);
  assert.match(await detail.textContent(), /help: free the request.*last reference dropped here/s);
  assert.deepEqual((await detail.locator("ol").first().locator("code").allTextContents()).slice(0, 3), ["make", "serve", "main"]);
  await close();
});

test("the keyboard reaches and moves through the flame graph", async () => {
  const { page, close } = await open(REPORT_HTML);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  const seen = new Set();
  await until("Tab reaches the flame graph", async () => {
    await page.keyboard.press("Tab");
    const id = await page.evaluate(() => document.activeElement.id || document.activeElement.getAttribute("role") || document.activeElement.tagName);
    seen.add(id);
    return id === "flame";
  });
  assert.ok(seen.has("slider") && seen.has("metric") && seen.has("search"), [...seen].join(" "));
  const names = [];
  for (let depth = 0; depth < 5; depth++) {
    await page.keyboard.press("ArrowDown");
    names.push(await selectedRow(page));
  }
  assert.deepEqual(names, ["_start", "__libc_start_main", "main", "serve", "make"]);
  await page.keyboard.press("ArrowRight");
  assert.match(await selectedRow(page), /parse_object/);
  assert.match(await text(page, "#live"), /parse_object.*, 12,480 bytes, 1\.4 %, depth 5/);
  await page.keyboard.press("Enter");
  assert.equal((await crumbs(page)).length, 6);
  await page.keyboard.press("Escape");
  assert.equal((await crumbs(page)).length, 5);
  await page.keyboard.press("Home");
  assert.deepEqual(await crumbs(page), ["all"]);
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "search");
  assert.equal(await page.locator("#search").inputValue(), "");
  await page.locator("#context tr[tabindex='0']").focus();
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.evaluate(() => document.activeElement.querySelector(".name").textContent), "_start");
  await close();
});

test("the timeline zooms by pointer and by keys", async () => {
  const { page, close } = await open(REPORT_HTML);
  const chart = page.locator("#timeline-chart");
  await chart.scrollIntoViewIfNeeded();
  const box = await chart.boundingBox();
  const labels = () => page.locator("#timeline-chart text.tick[y='185']").allTextContents();
  const whole = await labels();
  await page.mouse.move(box.x + box.width * 0.4, box.y + 60);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 60, { steps: 4 });
  await page.mouse.up();
  assert.ok(await page.locator("#timeline-reset").isVisible());
  assert.notDeepEqual(await labels(), whole);
  assert.match(await text(page, "#timeline-values"), /From .* to .*: [\d,]+ allocations, live [+−]/);
  await page.locator("#timeline-reset").click();
  assert.deepEqual(await labels(), whole);
  await page.keyboard.press("+");
  await page.keyboard.press("+");
  assert.notDeepEqual(await labels(), whole);
  await page.keyboard.press("Home");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-valuenow")), "0");
  await page.keyboard.press("Escape");
  assert.deepEqual(await labels(), whole);
  assert.ok(!(await page.locator("#timeline-reset").isVisible()));
  await close();
});

test("a finding tells its other stacks and what holds it", async () => {
  const { page, close } = await open(REPORT_HTML);
  const details = page.locator("#findings-table .finding").first();
  assert.match(await details.textContent(), /Held by.*global `registry`.*make.*would give back/s);
  const other = details.locator(".others details").first();
  await other.locator("summary").click();
  assert.ok(await other.locator("li").first().isVisible());
  await close();
});

test("the accessibility tree holds the frames", async () => {
  const { page, context, close } = await open(REPORT_HTML);
  const session = await context.newCDPSession(page);
  const { nodes } = await session.send("Accessibility.getFullAXTree");
  const named = (role, name) => nodes.some((it) => it.role?.value === role && name.test(it.name?.value ?? ""));
  assert.ok(named("treegrid", /Selected frame/));
  assert.ok(named("row", /_start/));
  assert.ok(named("slider", /Moment/));
  assert.ok(nodes.length > 200, `${nodes.length} nodes`);
  await close();
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1400, 400]) {
    test(`axe finds nothing: ${colorScheme}, ${width} px`, async () => {
      const { page, context, close } = await open(REPORT_HTML, { colorScheme, viewport: { width, height: 900 } });
      await page.locator("button.expand").first().click();
      await clickRow(page, 4);
      assert.deepEqual(await violations(context, page), []);
      await choose(page, "sites");
      assert.deepEqual(await violations(context, page), []);
      await page.locator("#theme").click();
      assert.deepEqual(await violations(context, page), []);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `the page is ${overflow} px too wide`);
      await close();
    });
  }
}

test("without scripts the findings are a table", async () => {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const plain = await context.newPage();
  await plain.goto(pathToFileURL(resolve(REPORT_HTML)).href);
  assert.match(await plain.locator("noscript, main").first().textContent(), /880,000 bytes in 20,000 blocks are never freed/);
  await context.close();
});

test("hostile names stay text", { skip: !HOSTILE_HTML }, async () => {
  const { page, close } = await open(HOSTILE_HTML);
  const buttons = page.locator("button.expand");
  for (let at = 0; at < (await buttons.count()); at++) await buttons.nth(at).click();
  await page.selectOption("#metric", "allocated");
  await page.locator("#search").fill("<script>");
  await page.keyboard.press("Enter");
  await choose(page, "inverted");
  await choose(page, "sites");
  await choose(page, "flame");
  const box = await page.locator("#flame").boundingBox();
  for (let x = 5; x < box.width; x += 40) await page.locator("#flame").hover({ position: { x, y: 27 } });
  assert.equal(await page.locator("img, main script, main svg[onload]").count(), 0);
  const shown = await page.locator("body").innerText();
  assert.ok(shown.includes("</script><script>alert(1)</script>"));
  assert.ok(shown.includes("\\u{202e}gpj.exe\\u{2066}evil"));
  assert.doesNotMatch(shown, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/);
  await close();
});

test("a million stacks: first paint, memory, drawing", { skip: !BIG_HTML }, async (context) => {
  const { page, context: tab, close } = await open(BIG_HTML);
  const session = await tab.newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const heap = await session.send("Runtime.getHeapUsage");
  const held = heap.usedSize + (heap.backingStorageSize ?? 0);
  const at = await page.evaluate(() => ({
    paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
    ready: performance.getEntriesByName("heapwise-ready")[0].startTime,
  }));
  context.diagnostic(`first paint ${at.paint.toFixed(0)} ms, flame graph ${at.ready.toFixed(0)} ms, heap ${(held / 1e6).toFixed(1)} MB`);
  assert.ok(at.paint <= FIRST_PAINT_MS * SLACK, `first paint after ${at.paint} ms`);
  assert.ok(at.ready <= 2 * FIRST_PAINT_MS * SLACK, `flame graph after ${at.ready} ms`);
  assert.ok(held <= HEAP_BYTES, `${held} bytes of heap`);

  const timed = async (name, action) => {
    const begin = performance.now();
    await action();
    await drawn(page);
    context.diagnostic(`${name}: ${(performance.now() - begin).toFixed(0)} ms`);
  };
  await timed("zoom", () => clickRow(page, 3));
  await timed("search", async () => {
    await page.locator("#search").fill("method12");
    await page.keyboard.press("Enter");
  });
  assert.match(await text(page, "#matches"), /places?, /);
  await timed("metric", () => page.selectOption("#metric", "peak"));
  await timed("inverted", () => choose(page, "inverted"));
  await timed("inverted zoom", () => clickRow(page, 1, 0.01));
  await timed("top sites", () => choose(page, "sites"));
  await session.send("HeapProfiler.collectGarbage");
  const later = await session.send("Runtime.getHeapUsage");
  const heldLater = later.usedSize + (later.backingStorageSize ?? 0);
  context.diagnostic(`heap at the end ${(heldLater / 1e6).toFixed(1)} MB`);
  assert.ok(heldLater <= HEAP_BYTES, `${heldLater} bytes of heap`);
  await close();
});
