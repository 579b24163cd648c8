// A headless Chromium, and pages that note everything that goes wrong in them.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { patience } from "./nodes.mjs";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const executable = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

// launch starts the browser. It speaks to nobody but the tests.
export function launch(...args) {
  return chromium.launch({
    executablePath: executable,
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync", ...args,
    ],
  });
}

// open opens a node's page. What goes wrong is gathered in page.wrong, and each
// request that it makes in page.asked.
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  page.wrong = [];
  page.asked = [];
  page.on("console", (m) => { if (["error", "warning", "assert"].includes(m.type())) page.wrong.push(`${m.type()}: ${m.text()}`); });
  page.on("pageerror", (err) => page.wrong.push(`exception: ${err.stack}`));
  page.on("request", (r) => page.asked.push(r.url()));
  await page.exposeFunction("noteViolation", (words) => page.wrong.push(`policy: ${words}`));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (e) => window.noteViolation(`${e.violatedDirective} ${e.blockedURI}`));
  });
  await page.goto(url);
  return page;
}

// isLive waits until the page follows the node.
export const isLive = (page) => page.locator('#state[data-state="live"]').waitFor();

// axe returns the serious findings, each with where it was found. It looks when
// nothing fades: colours in between are nobody's.
export async function axe(page) {
  await page.evaluate(() => Promise.allSettled(document.getAnimations().map((a) => a.finished)).then(() => {}));
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter((v) => v.impact === "serious" || v.impact === "critical")
    .map((v) => `${v.id} (${v.impact}): ${v.nodes.map((n) => `${n.html.slice(0, 200)} ${n.failureSummary}`).join(" | ")}`);
}
