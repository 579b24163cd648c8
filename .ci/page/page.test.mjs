// The page in a real browser, against three real nodes in a line.

import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, before, test } from "node:test";
import { axe, isLive, launch, open } from "./browser.mjs";
import { Node, line, stopAll, until } from "./nodes.mjs";

const shots = path.join(import.meta.dirname, "shots");
let browser, nodes;
const opened = [];

before(async () => {
  mkdirSync(shots, { recursive: true });
  [browser, nodes] = await Promise.all([launch(), line(3)]);
}, { timeout: 300_000 });

after(async () => {
  await browser?.close();
  await stopAll();
});

// visit opens a node's page and waits until it follows.
async function visit(node, options) {
  const page = await open(browser, node.url, options);
  opened.push(page);
  await isLive(page);
  return page;
}

// level waits until all nodes hold the same.
const level = () => until("all nodes hold the same", async () => new Set(await Promise.all(nodes.map(async (n) => (await n.get("/sync")).digest))).size === 1);

// Nothing goes wrong unseen: no policy violation, error or warning in the
// console, no request to anybody else and none with a token in its address.
afterEach(async () => {
  for (const page of opened.splice(0)) {
    const [wrong, asked] = [[...page.wrong], [...page.asked]]; // what is under way when it is closed fails
    const own = new URL(page.url()).origin;
    await page.context().close();
    assert.deepEqual(wrong.filter((words) => !page.excused?.test(words)), []);
    assert.deepEqual(asked.filter((url) => new URL(url).origin !== own && !url.startsWith("data:")), []);
    assert.deepEqual(asked.filter((url) => /token/i.test(url)), []);
  }
});

// What is said of a node that is down: the first by the browser itself.
const unreachable = /net::ERR_|asking the node/;

const row = (page, text) => page.locator("#list .row:not([hidden])", { hasText: text });

test("says who the node is", async () => {
  const page = await visit(nodes[0]);
  const id = await nodes[0].get("/id");
  await page.locator("#addresses li").first().waitFor();
  assert.equal(await page.locator("#peer-id").textContent(), id.peer_id);
  assert.deepEqual(await page.locator("#addresses code").allTextContents(), id.addresses);
  assert.equal(await page.locator("#reached").textContent(), "this machine");
  assert.equal(await page.locator("#topic").textContent(), "p2ping");
  assert.match(await page.locator("#uptime").textContent(), /^up \d+/);
  assert.ok(await page.locator("#self-icon path").getAttribute("d"));
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.locator("#addresses button").first().click();
  await until("the address is copied", async () => (await page.evaluate(() => navigator.clipboard.readText())) === id.addresses[0]);
});

test("shows a ping that curl sends on another node, within 2 s", async () => {
  const page = await visit(nodes[0]);
  await until("gossip reaches every node at once", async () => {
    const all = await Promise.all(nodes.map(async (n) => (await n.get("/peers")).peers.filter((p) => p.on_topic)));
    return all.every((peers) => peers.length > 0 && peers.every((p) => p.in_mesh));
  });
  const sent = nodes[2].curl("from curl on node 3");
  await row(page, "from curl on node 3").waitFor({ timeout: 2000 });
  const shown = row(page, "from curl on node 3");
  assert.equal(await shown.locator(".row-author").textContent(), nodes[2].id.slice(-8));
  assert.match(await shown.locator(".via").textContent(), /gossip|caught up/);
  assert.match(await shown.locator(".row-delay").textContent(), /^−?[\d.]+ (ms|s)$/);
  await shown.click();
  await page.locator("#detail[open]").waitFor();
  assert.ok((await page.locator("#detail-facts").textContent()).includes(sent.id));
  await page.keyboard.press("Escape");
  await until("screen readers are told", async () => (await page.locator("#summary").textContent()).includes("from curl on node 3"));
});

test("sends a ping", async () => {
  const page = await visit(nodes[1]);
  await page.locator("#send-text").fill("from the page of node 2");
  await page.locator("#send-text").press("Enter");
  await row(page, "from the page of node 2").waitFor();
  assert.equal(await row(page, "from the page of node 2").locator(".via").textContent(), "this node");
  assert.equal(await page.locator("#send-text").inputValue(), "");
  await Promise.all([
    // Both at once: what is said goes away by itself.
    until("it says what became of it", async () => /stored/.test(await page.locator("#send-note").textContent())),
    ...nodes.map((node) => until(`${node.name} has it`, async () => (await node.get("/pings")).pings.some((p) => p.text === "from the page of node 2" && p.author === nodes[1].id))),
  ]);
});

test("draws the network, and says the same in a table", async () => {
  const page = await visit(nodes[1]);
  await page.locator(".drawing .node.peer").nth(1).waitFor();
  assert.equal(await page.locator(".drawing .node.self .name").textContent(), nodes[1].id.slice(-8));
  // The two others have found each other, and tell of it.
  await page.locator(".drawing line.edge").nth(2).waitFor();
  const inTable = await page.locator("#peers tbody th").allTextContents();
  assert.deepEqual(inTable.sort(), [nodes[0], nodes[2]].map((n) => n.id.slice(-8)).sort());
  await until("it says what is drawn", async () => /3 nodes and 3 links/.test(await page.locator("#drawing-note").textContent()));
  await page.locator("#agreement tbody tr").first().waitFor();
  await until("the legend explains nothing that is not drawn", async () => (await page.locator("#legend-claim").isHidden()) === (await page.locator("#drawing line.edge.claim").count() === 0));
  assert.match(await page.locator("#digest").textContent(), /^[0-9a-f]{64}$/);
});

test("draws what lies beyond the neighbours, and says what is not drawn", async () => {
  const shy = [];
  for (const flags of [[], [], [], ["--status=false"]]) {
    const knows = shy.length ? ["--bootstrap", shy.at(-1).address] : [];
    shy.push(await new Node(`shy${shy.length + 1}`, "--discovery=false", ...flags, ...knows).start());
  }
  try {
    for (const [i, n] of [1, 2, 2, 1].entries()) await shy[i].met(n);
    const page = await visit(shy[0]);
    page.excused = unreachable; // when it is over
    await until("it says what is drawn", async () =>
      /Drawn: 4 nodes and 3 links.*More may lie beyond, and is not drawn: 1 node answers nobody\./.test(await page.locator("#drawing-note").textContent()));
    assert.equal(await page.locator(".drawing .node.far").count(), 2);
    assert.equal(await page.locator(".drawing .node.peer").count(), 1);
    assert.equal(await page.locator(".drawing .node.far.mute").count(), 1);
    assert.equal(await page.locator(".drawing .node.far.mute .sub").textContent(), "answers nobody");
    assert.equal(await page.locator(".drawing line.edge").count(), 3);
    const claims = await page.locator(".drawing line.edge.claim title").allTextContents();
    assert.equal(claims.length, 1);
    assert.ok(claims[0].endsWith(`claimed by ${shy[2].id.slice(-8)} alone`), claims[0]);
    const rows = await page.locator("#beyond tbody tr").evaluateAll((all) => all.map((tr) => [...tr.cells].map((c) => c.textContent.trim())));
    const [three, four] = [shy[2], shy[3]].map((n) => rows.find((r) => r[0] === n.id.slice(-8)));
    assert.deepEqual(three.slice(1, 4), ["answered", "0", "2"]);
    assert.deepEqual(four.slice(1, 6), ["answers nobody", "–", "–", shy[2].id.slice(-8), "–"]);
    assert.deepEqual(await axe(page), []);
    await page.locator("#network").screenshot({ path: path.join(shots, "beyond.png") });
    // Asking them has made them nobody's peers.
    assert.deepEqual((await shy[0].get("/peers")).peers.map((p) => p.peer_id), [shy[1].id]);
    assert.deepEqual((await shy[2].get("/peers")).peers.filter((p) => p.on_topic).map((p) => p.peer_id).sort(), [shy[1].id, shy[3].id].sort());
  } finally {
    await Promise.all(shy.map((n) => n.stop()));
  }
});

test("flies a ping along the edge it came by, unless motion is unwanted", async () => {
  const fast = await visit(nodes[1]);
  const calm = await visit(nodes[1], { reducedMotion: "reduce" });
  for (const page of [fast, calm]) await page.locator(".drawing line.edge").nth(1).waitFor();
  // It is in the air for less than a second: the pages note it themselves.
  const seen = (page) => page.evaluate(() => {
    window.flown = 0;
    window.warmed = 0;
    new MutationObserver((changes) => {
      for (const c of changes) {
        for (const n of c.addedNodes) if (n.classList?.contains("flight")) window.flown++;
        if (c.target.classList?.contains("hot")) window.warmed++;
      }
    }).observe(document.getElementById("drawing"), { childList: true, subtree: true, attributeFilter: ["class"] });
  });
  await Promise.all([seen(fast), seen(calm)]);
  nodes[2].curl("fly");
  await row(fast, /^fly/).waitFor();
  await row(calm, /^fly/).waitFor();
  await until("it flew", () => fast.evaluate(() => window.flown > 0));
  await until("its edge lit up", () => calm.evaluate(() => window.warmed > 0));
  assert.equal(await calm.evaluate(() => window.flown), 0);
  assert.equal(await calm.evaluate(() => document.getAnimations().length), 0);
});

test("sorts the table by keyboard", async () => {
  const page = await visit(nodes[1]);
  await page.locator("#peers tbody tr").nth(1).waitFor();
  const peers = () => page.locator("#peers tbody th").allTextContents();
  const heading = page.locator("#peers thead th").first();
  assert.equal(await heading.getAttribute("aria-sort"), "ascending");
  const up = await peers();
  await heading.locator("button").focus();
  await page.keyboard.press("Enter");
  assert.equal(await heading.getAttribute("aria-sort"), "descending");
  assert.deepEqual(await peers(), up.toReversed());
  await page.keyboard.press("Tab");
  await page.keyboard.press("Space");
  assert.equal(await heading.getAttribute("aria-sort"), null);
  assert.equal(await page.locator("#peers thead th").nth(1).getAttribute("aria-sort"), "ascending");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Standing");
});

const hostile = {
  script: "<script>window.pwned = 1</script>",
  image: '<img src=x onerror="window.pwned = 1"><svg onload="window.pwned = 1">',
  closing: "</bdi></div></body><h1>hijacked</h1>",
  overridden: "\u202Eesrever\u202E and on \u2066isolated",
  rtl: "שלום עולם, مرحبا بالعالم!",
  zeroWidth: "\u200B\u200D\u2060\u200B",
  zalgo: "Z" + "\u0321\u0353\u0489".repeat(400),
  emoji: "👩‍👩‍👧‍👦 family 🏴󠁧󠁢󠁥󠁮󠁧󠁿 flag 🎉",
  lines: "one\ntwo\r\nthree\u2028four",
  template: "${window.pwned = 1} {{constructor}} javascript:alert(1)",
};

test("shows hostile texts as text", async () => {
  const page = await visit(nodes[0]);
  const size = () => page.evaluate(() => [document.documentElement.scrollWidth, document.querySelectorAll("#list .row")[0]?.offsetHeight, document.querySelectorAll("h1").length]);
  nodes[2].curl("harmless");
  await row(page, "harmless").waitFor();
  const before = await size();
  const long = "4 KiB ".repeat(682) + "end.";
  assert.equal(long.length, 4096);
  for (const text of Object.values(hostile)) await nodes[2].publish(text);
  await nodes[2].publish(long);
  await row(page, "4 KiB 4 KiB").waitFor();
  await level(); // they may come in another order
  const held = (await nodes[0].get("/sync")).pings;
  await until("all are shown", async () => parseInt(await page.locator("#list-count").textContent(), 10) === held);
  const texts = await page.locator("#list .row:not([hidden]) .row-text").allTextContents();
  for (const [name, text] of Object.entries(hostile)) {
    if (name === "zeroWidth") assert.ok(texts.includes("invisible: 4 characters"), texts.join(" | "));
    else assert.ok(texts.some((t) => text.startsWith(t.replace(/…$/, ""))), `${name}: ${texts.join(" | ")}`);
  }
  assert.deepEqual(await size(), before, "nothing grew, and no heading came");
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  assert.equal(await page.locator("#list script, #list img, #list .row-text *").count(), 0);
  const boxes = await page.locator("#list .row-text").evaluateAll((all) => all.map((e) => getComputedStyle(e).unicodeBidi));
  assert.ok(boxes.every((b) => b.includes("isolate")), boxes.join());
  await row(page, "4 KiB 4 KiB").click();
  assert.equal(await page.locator("#detail-text").textContent(), long);
  const detail = await page.locator("#detail").evaluate((d) => [d.scrollWidth <= d.clientWidth, d.getBoundingClientRect().height <= innerHeight]);
  assert.deepEqual(detail, [true, true]);
  await page.screenshot({ path: path.join(shots, "hostile.png") });
});

test("keeps what arrives while history is loaded below it", async () => {
  const page = await open(browser, "about:blank");
  opened.push(page);
  let sent = false;
  await page.route("**/pings?limit=*", async (route) => {
    if (!sent) {
      sent = true;
      nodes[0].curl("while history was loading");
      await row(page, "while history was loading").waitFor();
    }
    await route.continue();
  });
  await page.goto(nodes[0].url);
  await until("history is there", async () => parseInt(await page.locator("#list-count").textContent(), 10) > 1);
  await row(page, "while history was loading").waitFor();
  const texts = await page.locator("#list .row:not([hidden])").evaluateAll((rows) => rows.sort((a, b) => a.ariaPosInSet - b.ariaPosInSet).map((r) => r.querySelector(".row-text").textContent));
  assert.equal(texts.at(-1), "while history was loading");
  assert.equal(texts.filter((t) => t === "while history was loading").length, 1);
});

test("windows the list, loads history by scrolling, filters, pauses and follows", async () => {
  nodes[0].publishMany(Array.from({ length: 450 }, (_, i) => `history ${i}`));
  const page = await visit(nodes[0]);
  const loaded = async () => parseInt((await page.locator("#list-count").textContent()).replace(",", ""), 10);
  await row(page, /^history/).first().waitFor();
  assert.ok(await page.locator("#list .row").count() < 60, "only rows in sight exist");
  assert.equal(await loaded(), 100);
  await page.locator("#list").focus();
  await until("scrolling up loads everything", async () => {
    await page.keyboard.press("Home");
    return (await loaded()) === (await nodes[0].get("/sync")).pings;
  });
  assert.equal(await page.locator("#older").isVisible(), false);
  assert.ok(await page.locator("#list .row").count() < 60, "only rows in sight exist");

  nodes[0].curl("seen only below");
  await page.locator("#jump:not([hidden])").waitFor();
  assert.match(await page.locator("#jump").textContent(), /1 new below/);
  await page.locator("#jump").click();
  await row(page, "seen only below").waitFor();
  assert.equal(await page.locator("#follow").getAttribute("aria-pressed"), "true");

  await page.locator("#pause").click();
  nodes[0].curl("while paused");
  await until("the ping waits", async () => (await page.locator("#pause").textContent()) === "Resume (1)");
  assert.equal(await row(page, "while paused").count(), 0);
  await page.locator("#pause").click();
  await row(page, "while paused").waitFor();

  await page.locator("#filter").fill("HISTORY  449");
  await until("the filter holds", async () => /^1 of/.test(await page.locator("#list-count").textContent()));
  nodes[0].curl("does not match");
  nodes[0].curl("449: history again");
  await row(page, "449: history again").waitFor();
  assert.equal(await row(page, "does not match").count(), 0);

  await page.locator("#filter").fill("nobody ever sent this");
  await page.locator("#list-nothing:not([hidden])").waitFor();
  await page.locator("#filter").fill("");
  await page.locator("#list-nothing").waitFor({ state: "hidden" });
  await page.locator("#list").focus();
  await page.keyboard.press("End");
  await page.keyboard.press("ArrowUp");
  // What the list itself scrolled is told late: the keyboard has moved on since.
  await page.locator("#list").evaluate((list) => { list.dispatchEvent(new Event("scroll")); });
  await page.keyboard.press("Enter");
  await until("the keyboard opens a ping", async () => (await page.locator("#detail-text").textContent()) === "does not match");
});

test("lets go of the end when the user scrolls up, however fast pings come", async () => {
  const page = await visit(nodes[0]);
  await row(page, "449: history again").waitFor();
  let pouring = true;
  const pour = (async () => {
    for (let i = 0; pouring; i++) await nodes[0].publish(`pour ${i}`);
  })();
  try {
    await row(page, /^pour/).first().waitFor();
    await page.locator("#list").hover();
    await page.mouse.wheel(0, -700);
    await until("it does not follow", async () => (await page.locator("#follow").getAttribute("aria-pressed")) === "false");
    await page.locator("#jump:not([hidden])").waitFor();
  } finally {
    pouring = false;
    await pour;
  }
  assert.equal(await page.locator("#follow").getAttribute("aria-pressed"), "false");
});

for (const colorScheme of ["light", "dark"]) {
  test(`has no serious accessibility finding in ${colorScheme}`, async () => {
    const page = await visit(nodes[1], { colorScheme });
    await page.locator("#agreement tbody tr").first().waitFor();
    nodes[2].curl(`for axe in ${colorScheme}`);
    await row(page, `for axe in ${colorScheme}`).waitFor();
    await level(); // nothing new is highlighted any more
    assert.deepEqual(await axe(page), []);
    await row(page, `for axe in ${colorScheme}`).click();
    assert.deepEqual(await axe(page), []);
    await page.keyboard.press("Escape");
    await page.setViewportSize({ width: 360, height: 780 });
    assert.deepEqual(await axe(page), []);
  });
}

test("looks right from 360 px to a projector", async () => {
  const looks = [["360", 360, 780, "light"], ["360-dark", 360, 780, "dark"], ["1280", 1280, 800, "light"], ["1280-dark", 1280, 800, "dark"], ["1920", 1920, 1080, "light"]];
  for (const text of ["deploy 4711 finished", "backup done in 3 min 12 s", "مرحبا بالعالم", "I'm alive"]) {
    nodes[0].curl(text);
    nodes[2].curl(text);
  }
  for (const [name, width, height, colorScheme] of looks) {
    const page = await visit(nodes[1], { viewport: { width, height }, colorScheme });
    await page.locator("#agreement tbody tr").first().waitFor();
    await page.waitForTimeout(1800); // until the drawing is at rest
    // As the go command calls what was built between two releases.
    await page.locator("#version").evaluate((e) => { e.textContent = "0.0.0-20260102030405-0123456789ab+dirty"; });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0, `${name}: nothing sticks out`);
    await page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
  }
});

test("survives a restart of its node, and misses nothing", async () => {
  const page = await visit(nodes[0]);
  page.excused = unreachable;
  nodes[2].curl("before the restart");
  await row(page, "before the restart").waitFor();
  await nodes[0].stop();
  await page.locator('#state[data-state="waiting"]').waitFor();
  assert.match(await page.locator("#state-text").textContent(), /Reconnecting/);
  nodes[2].curl("during the restart");
  await nodes[0].start();
  await isLive(page);
  await row(page, "during the restart").waitFor();
  nodes[2].curl("after the restart");
  await row(page, "after the restart").waitFor();
  for (const text of ["before", "during", "after"]) assert.equal(await row(page, `${text} the restart`).count(), 1, text);
  assert.equal(await page.locator("#banner").isHidden(), true, "nothing is missing, so nothing says so");
});

test("shows a gap, when the node has lost what the page asks for", async () => {
  const lone = await new Node("lone").start();
  const empty = await visit(lone);
  empty.excused = unreachable;
  await until("it says how to send the first", async () => /with curl http:\S+\/ping\.$/.test(await empty.locator("#list-empty").innerText()));
  for (let i = 0; i < 3; i++) lone.curl(`lost ${i}`);
  const page = await visit(lone);
  page.excused = unreachable;
  await row(page, "lost 2").waitFor();
  lone.curl("lost 3");
  await row(page, "lost 3").waitFor();
  await lone.stop();
  for (const name of readdirSync(lone.dir)) if (/ledger/.test(name)) rmSync(path.join(lone.dir, name), { recursive: true });
  await lone.start();
  await page.locator('#state[data-state="gap"]').waitFor();
  await page.locator("#list .row.gap:not([hidden])").waitFor();
  assert.match(await page.locator("#banner-text").textContent(), /missing/);
  assert.deepEqual(await axe(page), []);
  lone.curl("after the gap");
  await row(page, "after the gap").waitFor();
  await page.locator("#banner-close").click();
  await isLive(page);
  await lone.stop();
});

test("asks for the token once, and keeps it out of addresses", async () => {
  const file = path.join(tmpdir(), `p2ping-page-token-${process.pid}`);
  writeFileSync(file, "correct-horse-battery\n", { mode: 0o600 });
  const guarded = new Node("guarded", "--token-file", file);
  guarded.token = "correct-horse-battery";
  try {
    await guarded.start();
    const page = await open(browser, guarded.url);
    opened.push(page);
    page.excused = /status of 401|net::ERR_|asking the node/; // the node stops before the page does
    await page.locator("#token[open]").waitFor();
    assert.deepEqual(await axe(page), []);
    await page.locator("#token-text").fill("wrong");
    await page.keyboard.press("Enter");
    await page.locator("#token-refused:not([hidden])").waitFor();
    await page.locator("#token-text").fill(guarded.token);
    await page.keyboard.press("Enter");
    await isLive(page);
    await page.locator("#addresses li").first().waitFor();
    await page.reload();
    await isLive(page);
    assert.equal(await page.locator("#token[open]").count(), 0, "asked once");
    assert.equal(page.asked.filter((url) => url.includes(guarded.token)).length, 0);
  } finally {
    await guarded.stop();
    rmSync(file, { force: true });
  }
});
