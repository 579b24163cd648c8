// What the page holds of the node, and how it asks for it: modules that need no
// browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import path from "node:path";
import { pathToFileURL } from "node:url";

const load = (name) => import(pathToFileURL(path.resolve(import.meta.dirname, "../../api/web/files", name)));
const { Log } = await load("log.js");
const { History } = await load("history.js");
const { Poller } = await load("poller.js");
const { Hour } = await load("hour.js");
const { API } = await load("api.js");

const at = (id) => new Date(1_700_000_000_000 + 1000 * id).toISOString();
const ping = (id, text = "text", author = "author") => ({ id: String(id), text, author, via: "gossip", sent_at: at(id), received_at: at(id) });
const many = (from, to) => Array.from({ length: to - from }, (_, i) => ping(from + i));

test("the log of pings", async (t) => {
  await t.test("takes each ping once", () => {
    const log = new Log();
    assert.equal(log.append([ping(1), ping(2), ping(1)]).added.length, 2);
    assert.equal(log.append([ping(2), ping(3)]).added.length, 1);
    assert.deepEqual(log.prepend([ping(0), ping(1)]), { added: 1, rows: 1 });
    assert.deepEqual(log.view.map((p) => p.id), ["0", "1", "2", "3"]);
  });
  await t.test("filters by every word, whatever the case, width or form", () => {
    const log = new Log();
    log.append([ping(1, "Deploy DONE"), ping(2, "ｄｅｐｌｏｙ failed"), ping(3, "other", "deployer")]);
    log.filter("deploy");
    assert.deepEqual(log.view.map((p) => p.id), ["1", "2", "3"]);
    log.filter(" deploy  done ");
    assert.deepEqual(log.view.map((p) => p.id), ["1"]);
    log.append([ping(4, "done: deploy"), ping(5)]);
    assert.deepEqual(log.view.map((p) => p.id), ["1", "4"]);
    log.filter("");
    assert.equal(log.view.length, 5);
  });
  await t.test("waits while paused, whatever the filter", () => {
    const log = new Log();
    log.append([ping(1)]);
    log.pause();
    assert.deepEqual(log.append([ping(2), ping(3, "needle")]).grown, 0);
    assert.deepEqual([log.view.length, log.waiting], [1, 2]);
    log.filter("needle");
    assert.deepEqual([log.view.length, log.waiting], [0, 1], "what waits goes on waiting");
    log.filter("");
    assert.deepEqual([log.view.length, log.waiting], [1, 2]);
    assert.deepEqual([log.resume().grown, log.view.length, log.waiting], [2, 3, 0]);
  });
  await t.test("takes nothing from a reader while paused", () => {
    const log = new Log(100);
    log.append(many(0, 90));
    log.pause();
    for (let i = 90; i < 1000; i += 10) log.append(many(i, i + 10));
    assert.deepEqual([log.view.length, log.view[0].id, log.waiting], [90, "0", 910]);
    const { grown, dropped } = log.resume();
    assert.deepEqual([90 + grown - dropped, log.view.length], [90, 90]);
    assert.deepEqual(log.view.map((p) => p.id), many(910, 1000).map((p) => p.id));
    assert.equal(log.trimmed.id, "909", "all that is not held can be loaded again");
    assert.deepEqual([log.has("89"), log.has("500"), log.has("999")], [false, false, true]);
  });
  await t.test("lets go of the oldest, and takes them again", () => {
    const log = new Log(100);
    log.append(many(0, 95));
    const { grown, dropped } = log.append(many(95, 105));
    assert.deepEqual([grown, dropped], [10, 15]);
    assert.deepEqual([log.items.length, log.view.length, log.view[0].id, log.trimmed.id], [90, 90, "15", "14"]);
    assert.deepEqual(log.prepend(many(0, 15)), { added: 10, rows: 10 }, "no more than there is room");
    assert.deepEqual([log.view[0].id, log.full], ["5", true]);
    assert.equal(log.has("4"), false);
  });
  await t.test("takes a flood at once", () => {
    const log = new Log();
    log.append(many(0, 300_000));
    assert.equal(log.view.at(-1).id, "299999");
  });
  await t.test("lets go within the filter", () => {
    const log = new Log(10);
    log.filter("odd");
    log.append(Array.from({ length: 30 }, (_, i) => ping(i, i % 2 ? "odd" : "even")));
    assert.equal(log.items.length, 9);
    assert.ok(log.view.every((p) => log.has(p.id)));
  });
  await t.test("a gap is no ping", () => {
    const log = new Log();
    log.append([{ gap: "gap", id: "gap-1" }, ping(1)]);
    log.filter("gap");
    assert.equal(log.view.length, 0);
    const small = new Log(10);
    small.append([{ gap: "gap", id: "gap-1" }, ...many(0, 11)]);
    assert.equal(small.trimmed.id, "1");
  });
});

// ledger answers as a node does that holds these pings, 100 a page.
function ledger(pings) {
  return (path) => {
    const query = new URL(path, "http://node").searchParams;
    const until = query.get("until") ?? query.get("before");
    const before = until ? pings.filter((p) => p.sent_at < until) : pings;
    const page = before.slice(-100);
    return { pings: page, next: before.length > page.length ? `/pings?before=${page[0].sent_at}` : "" };
  };
}

const ids = (log) => log.view.map((p) => Number(p.id));
const whole = (log, to) => assert.deepEqual(ids(log), many(to - log.view.length, to).map((p) => Number(p.id)), "there is a hole");

test("history", async (t) => {
  await t.test("is loaded page by page, the latest once", async () => {
    const log = new Log(), asked = [];
    const answer = ledger(many(0, 250));
    const history = new History({ get: async (path) => { asked.push(path); return answer(path); }, log, onPage() {} });
    await Promise.all([history.loadRecent(), history.loadRecent()]);
    assert.deepEqual([asked.length, log.view.length, history.more], [1, 100, true]);
    await history.loadOlder();
    await history.loadOlder();
    await history.loadOlder();
    assert.deepEqual([asked.length, log.view.length, history.more], [3, 250, false]);
    whole(log, 250);
  });
  await t.test("may fail, and be asked for again", async () => {
    const log = new Log(), answer = ledger(many(0, 150));
    let fail = true;
    const history = new History({ get: async (path) => { if (fail) throw new Error("down"); return answer(path); }, log, onPage() {} });
    await assert.rejects(history.loadRecent(), /down/);
    assert.deepEqual([history.loaded, history.more], [false, false]);
    fail = false;
    await history.loadRecent();
    fail = true;
    await assert.rejects(history.loadOlder(), /down/);
    fail = false;
    await history.loadOlder();
    whole(log, 150);
  });
  await t.test("leaves no hole where the log lets go of pings while a page is under way", async () => {
    const log = new Log(500), all = many(0, 2000);
    let arrives = () => {};
    const history = new History({ get: async (path) => { const page = ledger(all.slice(0, 1500))(path); arrives(); return page; }, log, onPage() {} });
    log.append(all.slice(1000, 1500));
    await history.loadRecent();
    log.append(all.slice(1500, 1501)); // and the first 51 go
    assert.equal(log.trimmed.id, "1050");
    arrives = () => { arrives = () => {}; log.append(all.slice(1501, 1560)); };
    await history.loadOlder();
    assert.equal(log.trimmed, null);
    whole(log, 1560);
  });
  await t.test("leaves none where loading again fails", async () => {
    const log = new Log(500), all = many(0, 1200);
    let fail = false;
    const history = new History({ get: async (path) => { if (fail) throw new Error("down"); return ledger(all)(path); }, log, onPage() {} });
    await history.loadRecent();
    log.append(many(1200, 1650));
    fail = true;
    await assert.rejects(history.loadOlder(), /down/);
    fail = false;
    await history.loadOlder();
    whole(log, 1650);
  });
  await t.test("goes on to what is new, past what is held", async () => {
    const log = new Log(), all = many(0, 1000);
    const history = new History({ get: async (path) => ledger(all)(path), log, onPage() {} });
    await history.loadRecent();
    log.append(all.slice(500, 900)); // caught up late, so below
    await history.loadOlder();
    assert.equal(log.view.length, 600);
    assert.equal(log.view[0].id, "400");
  });
});

test("looking again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let clock = 0, looks = 0, finish;
  const pass = async (ms) => { clock += ms; t.mock.timers.tick(ms); for (let i = 0; i < 10; i++) await Promise.resolve(); };
  const poller = new Poller(() => { looks++; return new Promise((done, fail) => { finish = { done, fail }; }); }, 1000, () => clock);
  poller.soon();
  poller.soon();
  await pass(200);
  assert.equal(looks, 1);
  poller.soon();
  await pass(60_000);
  assert.equal(looks, 1, "not before the first is done");
  finish.done();
  await pass(0);
  await pass(200);
  assert.equal(looks, 2, "what happened meanwhile is looked at");
  const joined = poller.now();
  finish.fail(new Error("down"));
  await assert.rejects(joined, /down/);
  poller.soon();
  await pass(999);
  assert.equal(looks, 2, "not too often");
  await pass(1);
  assert.equal(looks, 3, "again after a failure");
  finish.done();
  await pass(60_000);
  assert.equal(looks, 3, "not for nothing");
  poller.soon();
  poller.now();
  finish.done();
  await pass(60_000);
  assert.equal(looks, 4, "one look is enough for both");
});

test("the last minute counts when the node received pings", () => {
  const now = Date.parse(at(1000));
  const hour = new Hour(() => now);
  for (const id of [10, 900, 950, 999, 1001]) hour.record(ping(id));
  assert.equal(hour.lastMinute(), 3);
});

test("asking the node", async (t) => {
  const answers = [], asked = [], questions = [];
  t.mock.method(globalThis, "fetch", async (path, options) => { asked.push({ path, ...options }); return answers.shift() ?? Response.json({}); });
  const tokens = ["wrong", "smart\u201D", "two words", "right"];
  const api = new API(async (refused) => { questions.push(refused); return tokens.shift(); });
  const denied = () => new Response("{}", { status: 401 });
  answers.push(denied(), denied());
  await api.get("/id");
  assert.deepEqual(questions, [false, true, true, true], "what can't be a token is not sent");
  assert.deepEqual(asked.map((a) => a.headers.Authorization), [undefined, "Bearer wrong", "Bearer right"]);
  assert.ok(asked.every((a) => a.signal instanceof AbortSignal), "no request may take for ever");
  assert.equal(new Set(asked.map((a) => a.signal)).size, 3, "the time that the user takes does not count");
  const { signal } = new AbortController();
  await api.events("", signal);
  assert.equal(asked.at(-1).signal, signal);
});
