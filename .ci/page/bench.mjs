// How responsive the page stays when 2,000 pings come in 10 s: the longest task
// of its main thread. It prints; it does not judge.

import { isLive, launch, open } from "./browser.mjs";
import { line, stopAll, until } from "./nodes.mjs";

const pings = 2000, seconds = 10, batch = 20;

const [browser, nodes] = await Promise.all([launch(), line(2)]);
try {
  const page = await open(browser, nodes[0].url);
  await isLive(page);
  await page.waitForTimeout(1500); // loading the page is not what is measured
  await page.evaluate(() => {
    window.tasks = [];
    window.frames = [];
    new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((e) => e.duration))).observe({ type: "longtask" });
    let last = performance.now();
    const frame = (now) => { window.frames.push(now - last); last = now; requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
  });
  const began = performance.now();
  for (let i = 0; i < pings; i += batch) {
    nodes[1].publishMany(Array.from({ length: batch }, (_, k) => `ping ${i + k} of ${pings}`));
    const ahead = ((i + batch) / pings) * seconds * 1000 - (performance.now() - began);
    if (ahead > 0) await page.waitForTimeout(ahead);
  }
  const sent = (performance.now() - began) / 1000;
  await until("the page shows them all", async () => (await page.locator("#list-count").textContent()).startsWith("2,000 "));
  const shown = (performance.now() - began) / 1000;
  const { tasks, frames } = await page.evaluate(() => ({ tasks: window.tasks, frames: window.frames }));
  const sorted = frames.toSorted((a, b) => a - b);
  console.log(`${pings} pings sent in ${sent.toFixed(1)} s, all shown after ${shown.toFixed(1)} s`);
  console.log(`tasks over 50 ms: ${tasks.length}, the longest: ${tasks.length ? Math.max(...tasks) : "under 50"} ms (wanted: under 200)`);
  console.log(`time between frames: median ${sorted[sorted.length >> 1].toFixed(0)} ms, p99 ${sorted[Math.floor(sorted.length * 0.99)].toFixed(0)} ms, longest ${sorted.at(-1).toFixed(0)} ms`);
} finally {
  await browser.close();
  await stopAll();
}
