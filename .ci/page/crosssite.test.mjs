// What other sites' pages can make a real browser do to a node: nothing. Each
// attack is made by a page of another origin and must have reached the node.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { Node, stopAll, until } from "./nodes.mjs";

let browser, node, attacker;

before(async () => {
  node = await new Node("victim").start();
  attacker = createServer((request, answer) => {
    answer.setHeader("Content-Type", "text/html");
    // The page does what its address says, after the hash.
    answer.end("<!doctype html><title>attacker</title><body>");
  });
  await new Promise((done) => { attacker.listen(0, "127.0.0.1", done); });
  // rebound.example is the attacker's name for this machine: what DNS rebinding comes to.
  browser = await launch("--host-resolver-rules=MAP rebound.example 127.0.0.1, MAP evil.example 127.0.0.1");
}, { timeout: 300_000 });

after(async () => {
  await browser?.close();
  attacker?.close();
  await stopAll();
});

// Each runs in the attacker's page and tries to publish, or to read.
const attacks = {
  "an image": (target) => { const i = new Image(); i.src = `${target}/ping?text=img`; document.body.append(i); },
  "a script": (target) => { const e = document.createElement("script"); e.src = `${target}/ping?text=script`; document.body.append(e); },
  "a module": (target) => { const e = document.createElement("script"); e.type = "module"; e.src = `${target}/ping?text=module`; document.body.append(e); },
  "a style sheet": (target) => { const e = document.createElement("link"); e.rel = "stylesheet"; e.href = `${target}/ping?text=style`; document.head.append(e); },
  "a background": (target) => { document.body.style.background = `url(${target}/ping?text=background)`; document.body.append("x"); },
  "a video": (target) => { const e = document.createElement("video"); e.src = `${target}/ping?text=video`; e.preload = "auto"; document.body.append(e); e.load(); },
  "a frame": (target) => { const e = document.createElement("iframe"); e.src = `${target}/ping?text=frame`; document.body.append(e); },
  "an object": (target) => { const e = document.createElement("object"); e.data = `${target}/ping?text=object`; document.body.append(e); },
  "prefetch": (target) => { const e = document.createElement("link"); e.rel = "prefetch"; e.href = `${target}/ping?text=prefetch`; document.head.append(e); },
  "preload": (target) => { const e = document.createElement("link"); e.rel = "preload"; e.as = "fetch"; e.href = `${target}/ping?text=preload`; document.head.append(e); },
  "fetch": (target) => { fetch(`${target}/ping?text=fetch`).catch(() => {}); },
  "fetch without CORS": (target) => { fetch(`${target}/ping?text=no-cors`, { mode: "no-cors" }).catch(() => {}); },
  "fetch without a referrer": (target) => { fetch(`${target}/ping?text=no-referrer`, { mode: "no-cors", referrerPolicy: "no-referrer" }).catch(() => {}); },
  "POST of a text without CORS": (target) => { fetch(`${target}/ping`, { method: "POST", mode: "no-cors", body: "post" }).catch(() => {}); },
  "POST of a form without CORS": (target) => { fetch(`${target}/ping`, { method: "POST", mode: "no-cors", body: new URLSearchParams({ text: "form" }) }).catch(() => {}); },
  "POST of many": (target) => { fetch(`${target}/pings`, { method: "POST", mode: "no-cors", body: '{"text":"many"}\n' }).catch(() => {}); },
  "a beacon": (target) => { navigator.sendBeacon(`${target}/ping`, "beacon"); },
  "import of entries": (target) => { fetch(`${target}/entries`, { method: "POST", mode: "no-cors", body: "{}" }).catch(() => {}); },
  "a connection elsewhere": (target) => { fetch(`${target}/peers`, { method: "POST", mode: "no-cors", body: "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWGwDZ7VX4dHzWoTz9iCsq6TSH42MK2J6WPjKmzrHThbtB" }).catch(() => {}); },
  "a stream": (target) => { const e = new EventSource(`${target}/events`); e.onmessage = () => { window.read = true; }; },
};

// These leave the attacker's page.
const departures = {
  "a link": (target) => { const a = document.createElement("a"); a.href = `${target}/ping?text=link`; document.body.append(a); a.click(); },
  "a form by GET": (target) => { const f = document.createElement("form"); f.action = `${target}/ping`; f.innerHTML = "<input name=text value=form-get>"; document.body.append(f); f.submit(); },
  "a form by POST": (target) => { const f = document.createElement("form"); f.action = `${target}/ping`; f.method = "post"; f.innerHTML = "<input name=text value=form-post>"; document.body.append(f); f.submit(); },
  "a form as text": (target) => { const f = document.createElement("form"); f.action = `${target}/ping`; f.method = "post"; f.enctype = "text/plain"; f.innerHTML = "<input name='{\"text\":\"' value='\"}'>"; document.body.append(f); f.submit(); },
  "a window": (target) => { window.open(`${target}/ping?text=window`); },
  "a redirect": (target) => { location.replace(`${target}/ping?text=redirect`); },
};

// Where the attacker's page is, and by what name it calls the node. The node's
// own name on another port is the same site, but another origin.
const port = () => new URL(node.url).port;
const stands = {
  "another site": () => ({ from: `http://localhost:${attacker.address().port}/`, target: `http://127.0.0.1:${port()}` }),
  "another port": () => ({ from: `http://127.0.0.1:${attacker.address().port}/`, target: `http://127.0.0.1:${port()}` }),
  "another name": () => ({ from: `http://evil.example:${attacker.address().port}/`, target: `http://localhost:${port()}` }),
  "a rebound name": () => ({ from: `http://rebound.example:${attacker.address().port}/`, target: `http://rebound.example:${port()}` }),
};

const published = async () => (await node.get("/sync")).pings;

// attempt makes one attack in a context of its own, and waits until the node
// has answered it.
async function attempt(from, target, run) {
  const context = await browser.newContext();
  try {
    const statuses = [];
    context.on("response", (r) => { if (r.url().startsWith(target)) statuses.push(r.status()); });
    context.on("requestfailed", (r) => { if (r.url().startsWith(target)) statuses.push(`failed: ${r.failure()?.errorText}`); });
    const page = await context.newPage();
    await page.goto(from);
    await page.evaluate(run, target).catch((err) => { if (!/navigation|context was destroyed/i.test(err.message)) throw err; });
    await until("the node answers", () => statuses.length > 0);
    const read = await page.evaluate(() => window.read === true).catch(() => false);
    return { statuses, read };
  } finally {
    await context.close();
  }
}

for (const [stand, where] of Object.entries(stands)) {
  test(`nothing is published or read from ${stand}`, async () => {
    const { from, target } = where();
    const before = await published();
    const left = Object.entries({ ...attacks, ...departures });
    const outcomes = {};
    const attackers = Array.from({ length: 4 }, async () => {
      for (let next = left.shift(); next; next = left.shift()) outcomes[next[0]] = await attempt(from, target, next[1]);
    });
    await Promise.all(attackers);
    for (const [name, { statuses, read }] of Object.entries(outcomes)) {
      // A browser may hide the answer from its own tools, too; never may it be a success.
      assert.ok(statuses.every((s) => typeof s === "string" || s >= 400), `${name} was answered ${statuses}`);
      assert.equal(read, false, name);
    }
    assert.equal(Object.keys(outcomes).length, Object.keys(attacks).length + Object.keys(departures).length);
    const { pings } = await node.get("/pings");
    assert.equal(await published(), before, `the ledger grew: ${pings.map((p) => p.text).join(" | ")}`);
  });
}

test("the rebound name itself shows nothing", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  for (const at of ["/", "/id", "/pings", "/ping"]) {
    const before = await published();
    const answer = await page.goto(`http://rebound.example:${port()}${at}`);
    assert.equal(answer.status(), 421, at);
    assert.equal(await published(), before);
  }
  await context.close();
});

test("the node can't be framed", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`http://localhost:${attacker.address().port}/`);
  await page.evaluate((target) => { const e = document.createElement("iframe"); e.src = target; document.body.append(e); }, node.url);
  await until("the frame is refused", () => page.frames().some((f) => f.url().startsWith("chrome-error:")));
  await context.close();
});

// Without these the others would pass on a node that is down.
test("the node's own page may do what others may not", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(node.url);
  for (const name of ["fetch", "POST of a text without CORS"]) {
    const before = await published();
    await page.evaluate(attacks[name], node.url);
    await until(`${name} publishes`, async () => (await published()) === before + 1);
  }
  const before = await published();
  await page.goto(`${node.url}/ping?text=typed`); // as typed into the address bar
  assert.equal(await published(), before + 1);
  await context.close();
});
