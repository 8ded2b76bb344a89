// The pages that the tests open: those named by REPORT_HTML, BIG_HTML, HOSTILE_HTML and REAL_HTML, or, where the
// first is not set, fresh ones: samples of `crates/report/examples/sample_report.rs`, and a real run of
// `examples/sessions.cpp` where HEAPWISE names the binary.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { REPORT_HTML, BIG_HTML, HOSTILE_HTML, REAL_HTML, HEAPWISE } = process.env;

let folder;
const inFolder = (name) => {
  if (!folder) {
    folder = mkdtempSync(join(tmpdir(), "heapwise-pages-"));
    process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  }
  return join(folder, name);
};

function sample(kind) {
  const file = inFolder(`${kind}.html`);
  const flags = ["run", "--quiet", "--release", "-p", "heapwise-report", "--example", "sample_report", "--", kind, file];
  execFileSync("cargo", flags, { cwd: root, stdio: "inherit" });
  return file;
}

/** A report with findings of all kinds, one whose names attack the page, one of a million stacks. */
export function samples() {
  if (REPORT_HTML) return { report: REPORT_HTML, hostile: HOSTILE_HTML, big: BIG_HTML };
  return { report: sample("small"), hostile: sample("hostile"), big: sample("large") };
}

/** A page of `examples/sessions.cpp` as observed just now; undefined where that cannot be. */
export function real() {
  if (REAL_HTML) return REAL_HTML;
  if (!HEAPWISE || spawnSync("g++", ["--version"]).error) return undefined;
  const program = inFolder("sessions");
  execFileSync("g++", ["-g", "-O1", "-o", program, join(root, "examples/sessions.cpp")]);
  const recording = inFolder("sessions.heapwise");
  execFileSync(HEAPWISE, ["run", "--quiet", "-o", recording, "--", program], { stdio: "ignore" });
  const file = inFolder("real.html");
  execFileSync(HEAPWISE, ["report", recording, "--format", "html", "--output", file, "--fail-on", "never"]);
  return file;
}
