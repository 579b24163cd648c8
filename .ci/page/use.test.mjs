// The page in hard use, against one real node: impatient fingers, a node that
// fails, windows and clocks that change, more peers and pings than usual.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { isLive, launch, open } from "./browser.mjs";
import { Node, stopAll, until } from "./nodes.mjs";

let browser, node, shared;
const opened = [];

before(async () => {
  [browser, node] = await Promise.all([launch(), new Node("used").start()]);
  node.publishMany(Array.from({ length: 250 }, (_, i) => `history ${i}`));
}, { timeout: 300_000 });

after(async () => {
  const wrong = [...shared?.wrong ?? []]; // what is under way when it is closed fails
  await browser?.close();
  await stopAll();
  assert.deepEqual(wrong, []);
});

afterEach(async () => {
  for (const page of opened.splice(0)) {
    const wrong = [...page.wrong]; // what is under way when it is closed fails
    await page.context().close();
    assert.deepEqual(wrong.filter((words) => !page.excused?.test(words)), []);
  }
});

// blank opens a page that is yet to go to the node.
async function blank(options) {
  const page = await open(browser, "about:blank", options);
  opened.push(page);
  return page;
}

// visit opens the node's page and waits until it shows history.
async function visit(page) {
  await page.goto(node.url);
  await isLive(page);
  await row(page, "history 249").or(row(page, "later")).first().waitFor();
  return page;
}

// reader returns the page that tests share which only read and send, at the end
// of the list.
async function reader() {
  shared ??= await visit(await open(browser, "about:blank"));
  await shared.setViewportSize({ width: 1280, height: 900 });
  await shared.locator("#filter").fill("");
  if (await shared.locator("#follow").getAttribute("aria-pressed") === "false") await shared.locator("#follow").click();
  await follows(shared, true);
  return shared;
}

const row = (page, text) => page.locator("#list .row:not([hidden])", { hasText: text });
const follows = (page, want) => until(`follows: ${want}`, async () => (await page.locator("#follow").getAttribute("aria-pressed")) === String(want));
const focused = (page) => page.evaluate(() => document.activeElement.id);
const pings = async () => (await node.get("/sync")).pings;

// peers answers for the node that it has these.
async function peers(page, made) {
  await page.route("**/peers", (route) => route.fulfill({ json: { peers: made() } }));
  await page.route("**/map", (route) => route.fulfill({ json: { nodes: [], edges: [], complete: true, left: 0, undrawn: 0, ended_early: false } }));
}

const peer = (i, more) => ({
  peer_id: `12D3KooWMadeUpPeerNumber${String(i).padStart(8, "0")}`, addresses: [`/ip4/10.0.0.${i % 250}/tcp/6001`], direction: "inbound", transport: "tcp",
  security: "/noise", connected_at: new Date().toISOString(), on_topic: true, in_mesh: i % 3 === 0, rtt_ms: i + 1, agent: "made up", found: "discovery", ...more,
});

// topRow returns the number of the first row that is whole in sight.
const topRow = (page) => page.locator("#list").evaluate((list) => {
  const { top } = list.getBoundingClientRect();
  const rows = [...list.querySelectorAll(".row:not([hidden])")].filter((r) => r.getBoundingClientRect().top >= top - 1);
  return Math.min(...rows.map((r) => Number(r.ariaPosInSet)));
});

test("a step up, however small, leaves the end", async () => {
  const page = await reader();
  await page.locator("#list").evaluate((list) => { list.scrollTop -= 4; });
  await follows(page, false);
  await page.locator("#list").evaluate((list) => { list.scrollTop += 2; });
  await follows(page, true);
});

test("what is read stays in its place when the window changes", async () => {
  const page = await reader();
  await page.locator("#list").focus();
  for (let i = 0; i < 4; i++) await page.keyboard.press("PageUp");
  await follows(page, false);
  const was = await topRow(page);
  const height = () => page.locator("#list .row:not([hidden])").first().evaluate((r) => r.offsetHeight);
  const before = await height();
  await page.setViewportSize({ width: 2600, height: 900 });
  await until("rows are higher", async () => (await height()) > before);
  assert.equal(await topRow(page), was);
});

test("the keyboard comes to the list where it is read, and goes on from there", async () => {
  const page = await reader();
  await page.locator("#list").evaluate((list) => { list.scrollTop -= 1500; });
  await follows(page, false);
  await page.locator("#follow").focus();
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "list");
  await page.locator("#list[aria-activedescendant]").waitFor();
  await follows(page, false);
  await page.keyboard.press("Enter");
  await page.locator("#detail[open]").waitFor();
  assert.notEqual(await page.locator("#detail-text").textContent(), "history 249");
  await page.keyboard.press("Escape");
  assert.equal(await focused(page), "list");
});

test("a key that is held and a double click do once what they do", async () => {
  const page = await reader();
  const held = async (times = 5) => {
    for (let i = 0; i < times; i++) await page.keyboard.down("Enter"); // again is a repetition
    await page.keyboard.up("Enter");
  };
  await page.evaluate(() => {
    window.toggled = 0;
    new MutationObserver((all) => { window.toggled += all.length; }).observe(document.getElementById("detail"), { attributeFilter: ["open"] });
  });
  await page.locator("#list").focus();
  await held();
  assert.equal(await page.evaluate(() => window.toggled), 1, "it opens, and stays");
  await page.keyboard.press("Escape");
  const before = await pings();
  await page.locator("#send-text").fill("later: held");
  await held();
  await row(page, "later: held").waitFor();
  await page.locator("#send-text").fill("later: twice");
  await page.locator("#send-button").dblclick();
  await row(page, "later: twice").waitFor();
  await page.locator("#send-text").fill("later: last");
  await page.locator("#send-button").click({ delay: 0 });
  await row(page, "later: last").waitFor();
  assert.equal(await pings(), before + 3);
});

test("what could not be sent is not lost, whatever has been typed since", async () => {
  const page = await visit(await blank());
  page.excused = /net::ERR_/;
  let fail;
  const failing = new Promise((done) => { fail = done; });
  await page.route(/\/ping(\?|$)/, async (route) => { await failing; await route.abort(); });
  await page.locator("#send-text").fill("first");
  await page.keyboard.press("Enter");
  await page.locator("#send-text").fill("second");
  fail();
  await until("both are there", async () => (await page.locator("#send-text").inputValue()) === "first\nsecond");
  assert.match(await page.locator("#send-note").textContent(), /did not answer/);
});

test("what waits while paused waits, whatever the filter", async () => {
  const page = await reader();
  await page.locator("#pause").click();
  node.curl("later: a needle");
  await until("it waits", async () => (await page.locator("#pause").textContent()) === "Resume (1)");
  await page.getByRole("button", { name: "Resume", exact: true }).waitFor(); // the count would be read out each time
  await page.locator("#filter").fill("needle");
  await page.locator("#list-nothing:not([hidden])").waitFor();
  assert.equal(await row(page, "needle").count(), 0);
  const [words, list] = [await page.locator("#list-nothing").boundingBox(), await page.locator("#list").boundingBox()];
  assert.ok(words.x >= list.x && words.x + words.width <= list.x + list.width + 1, "it is said in the list");
  await page.locator("#pause").click();
  await row(page, "later: a needle").waitFor();
});

test("each new ping is highlighted", async () => {
  const page = await reader();
  await page.evaluate(() => {
    window.lit = 0;
    addEventListener("animationstart", (e) => { if (e.target.classList.contains("row")) window.lit++; });
  });
  // More than there are elements, as each is used again; few enough at a time.
  const most = await page.locator("#list .row").count() + 4;
  for (let i = 0; i < most; i += 4) {
    node.publishMany([0, 1, 2, 3].map((k) => `later: light ${i + k}.`));
    await row(page, `light ${i + 3}.`).waitFor();
  }
  await until("all were lit", () => page.evaluate((n) => window.lit >= n, most));
});

test("history that fails to load is asked for again, the oldest for who waits at the top", async () => {
  const page = await blank();
  page.excused = /status of 503|asking the node|loading history/;
  const failed = new Set();
  await page.route(/\/pings\?(limit=100$|.*before=)/, async (route) => {
    if (failed.has(route.request().url())) return route.continue();
    failed.add(route.request().url());
    return route.fulfill({ status: 503, contentType: "application/problem+json", body: "{}" });
  });
  await page.goto(node.url);
  await isLive(page);
  assert.equal(await page.locator("#list-empty").isVisible(), false, "that there is none is not known");
  await row(page, "later").first().waitFor();
  await page.locator("#list").focus();
  await page.keyboard.press("Home");
  await until("it is loaded", async () => parseInt(await page.locator("#list-count").textContent(), 10) > 150);
  assert.ok(failed.size > 1);
});

test("the figures go on when the clock is set back", async () => {
  const page = await blank();
  await page.addInitScript(() => {
    const real = Date.now.bind(Date);
    window.skew = 0;
    Date.now = () => real() + window.skew;
  });
  await page.goto(node.url);
  await isLive(page);
  await until("there are figures", async () => /\d/.test(await page.locator("#fig-pings").textContent()));
  await page.evaluate(() => { window.skew = -3_600_000; });
  node.curl("later: the clock was set");
  const want = (await pings()).toLocaleString("en");
  await until("they are right", async () => (await page.locator("#fig-pings").textContent()) === want);
});

test("a tab that is opened behind another gives its connection back", async () => {
  const page = await blank();
  await page.addInitScript(() => {
    window.behind = true;
    Object.defineProperty(document, "hidden", { get: () => window.behind });
  });
  page.excused = /signal timed out/; // what is asked for while the clock jumps; it is asked for again
  await page.clock.install();
  await page.goto(node.url);
  await isLive(page);
  await page.clock.fastForward(31_000);
  await page.locator('#state[data-state="resting"]').waitFor();
  await page.evaluate(() => {
    window.behind = false;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await isLive(page);
});

test("the newest ping and the form stay in sight, however many peers there are", async () => {
  const page = await blank();
  const made = Array.from({ length: 150 }, (_, i) => peer(i));
  await peers(page, () => made);
  await page.goto(node.url);
  await page.locator("#peers tbody tr").nth(149).waitFor({ state: "attached" });
  const { y, height } = await page.locator("#send").boundingBox();
  assert.ok(y + height < 900, `the form ends at ${y + height}`);
  assert.ok(await page.locator("#list .row").count() < 60, "only rows in sight exist");
});

test("the keyboard stays on its row when the table is sorted anew, and near it when the row goes", async () => {
  const page = await blank();
  let made = [peer(1, { rtt_ms: 1 }), peer(2, { rtt_ms: 2 }), peer(3, { rtt_ms: 3 })];
  await peers(page, () => made);
  await page.goto(node.url);
  await page.locator("#peers thead button", { hasText: "RTT" }).click();
  await page.locator("#peers tbody tr").nth(2).waitFor();
  const first = () => page.locator("#peers tbody th").first().textContent();
  await page.locator("#peers tbody tr").nth(2).locator("button").focus();
  const label = await page.evaluate(() => document.activeElement.ariaLabel);
  made = made.with(2, peer(3, { rtt_ms: 0.5 }));
  node.curl("later: look again");
  await until("it is sorted", async () => (await first()) === "00000003");
  assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), label);
  made = made.slice(0, 2);
  node.curl("later: look again");
  await until("the row is gone", async () => (await first()) === "00000001");
  assert.equal(await page.evaluate(() => document.activeElement.contains(document.getElementById("peers"))), true);
  assert.notEqual(await page.evaluate(() => document.activeElement.tagName), "BODY");
});

test("the keyboard is in the list after what it was on has gone", async () => {
  const page = await visit(await blank());
  await page.locator("#older").focus();
  await until("all is loaded", async () => {
    // At once: a key would go to the list, were the button gone meanwhile.
    await page.evaluate(() => { document.activeElement.closest("#older")?.click(); });
    return !(await page.locator("#older").isVisible());
  });
  assert.equal(await focused(page), "list");
});
