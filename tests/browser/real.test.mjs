// The page of a program that really ran: HEAPWISE=path/to/heapwise node --test real.test.mjs

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { real } from "./pages.mjs";

const page_file = real();
const skip = page_file ? false : "HEAPWISE does not name the binary, or there is no g++";
const { CHROMIUM = "/usr/bin/chromium" } = process.env;

let browser;
let page;
const complaints = [];
before(async () => {
  if (skip) return;
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--headless", "--no-sandbox", "--disable-gpu"] });
  page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(10_000);
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  await page.goto(pathToFileURL(page_file).href);
  for (let tries = 0; tries < 400; tries++) {
    if (await page.evaluate(() => performance.getEntriesByName("heapwise-ready").length > 0)) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.fail("the page never became ready");
});
after(async () => {
  await browser?.close();
  assert.deepEqual(complaints, []);
});

test("the leak stands in the heading with its place", { skip }, async () => {
  const heading = await page.locator("h1").first().textContent();
  assert.match(heading, /never freed/);
  assert.match(heading, /open_session\b.* \(.*sessions\.cpp:17\)/);
});

test("the worst finding is open, with its source and its callers", { skip }, async () => {
  const table = await page.locator("#findings-table").textContent();
  assert.match(table, /new Session\(name\)/);
  assert.match(table, /main/);
});

test("a search finds the function and a click zooms into it", { skip }, async () => {
  await page.keyboard.press("/");
  await page.keyboard.type("open_session");
  await page.waitForTimeout(300);
  assert.match(await page.locator("#matches").textContent(), /[1-9]\d* place/);
  const canvas = page.locator("#flame");
  await canvas.scrollIntoViewIfNeeded();
  const box = await canvas.boundingBox();
  await page.mouse.click(box.x + box.width / 4, box.y + 45);
  assert.ok((await page.locator("#crumbs button").count()) >= 2);
});
