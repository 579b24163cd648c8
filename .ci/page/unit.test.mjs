// The page's modules that need no browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import path from "node:path";
import { pathToFileURL } from "node:url";

const load = (name) => import(pathToFileURL(path.resolve(import.meta.dirname, "../../api/web/files", name)));
const { Follower, Parser, backoff } = await load("sse.js");
const { windowOf } = await load("log.js");
const { Stats, Recent, ceiling } = await load("stats.js");
const { Layout, most } = await load("layout.js");
const { sortBy } = await load("table.js");
const { beyond, graph, missing, tellers } = await load("graph.js");
const { Palette, cells, colours, hash } = await load("author.js");
const { verdict } = await load("panels.js");
const format = await load("format.js");

test("the event parser", async (t) => {
  const cases = [
    ["one event", ["event: ping\nid: 3\ndata: {}\n\n"], [{ type: "ping", data: "{}", id: "3" }]],
    ["CRLF, and a byte order mark", ["\uFEFFdata: a\r\nid: 1\r\n\r\n"], [{ type: "message", data: "a", id: "1" }]],
    ["CR alone", ["data: a\r\rdata: b\r\r "], [{ type: "message", data: "a", id: "" }, { type: "message", data: "b", id: "" }]],
    ["several lines of data", ["data: a\ndata:b\ndata\n\n"], [{ type: "message", data: "a\nb\n", id: "" }]],
    ["only one space is cut", ["data:  a\n\n"], [{ type: "message", data: " a", id: "" }]],
    ["a comment is nothing", [": heartbeat\n\n"], []],
    ["no data, no event; the type does not stay", ["event: x\n\ndata: a\n\n"], [{ type: "message", data: "a", id: "" }]],
    ["the id stays", ["id: 7\ndata: a\n\ndata: b\n\n"], [{ type: "message", data: "a", id: "7" }, { type: "message", data: "b", id: "7" }]],
    ["an id with NUL is none", ["id: 1\0\ndata: a\n\n"], [{ type: "message", data: "a", id: "" }]],
    ["unknown fields are skipped", ["foo: bar\nretry: 5\ndata: a\n\n"], [{ type: "message", data: "a", id: "" }]],
    ["an unfinished event is not one", ["data: a\n"], []],
    ["line separators of Unicode end no line", ["data: a\u2028b\n\n"], [{ type: "message", data: "a\u2028b", id: "" }]],
  ];
  for (const [name, pieces, want] of cases) {
    await t.test(name, () => {
      const parser = new Parser();
      assert.deepEqual(pieces.flatMap((p) => parser.push(p)), want);
    });
    await t.test(`${name}, character by character`, () => {
      const parser = new Parser();
      assert.deepEqual([...pieces.join("")].flatMap((c) => parser.push(c)), want);
    });
  }
  await t.test("a comment with an id moves the place to resume at", () => {
    const parser = new Parser();
    assert.deepEqual(parser.push(":\nid: 41.0\n\n"), []);
    assert.equal(parser.lastID, "41.0");
  });
  await t.test("a line without end is refused", () => {
    const parser = new Parser();
    assert.throws(() => { for (let i = 0; i < 40; i++) parser.push("x".repeat(1 << 16)); }, /too long/);
  });
  await t.test("an event without end is refused", () => {
    const parser = new Parser();
    assert.throws(() => { for (let i = 0; i < 40; i++) parser.push(`data: ${"x".repeat(1 << 16)}\n`); }, /too long/);
  });
});

test("the wait between tries is bounded both ways", () => {
  for (const n of [0, 1, 5, 50, 5000]) {
    for (const r of [0, 0.5, 0.999]) {
      const wait = backoff(n, () => r);
      assert.ok(wait >= 250 && wait <= 10_000, `${n} ${r}: ${wait}`);
    }
  }
  assert.ok(backoff(4, () => 0) >= backoff(0, () => 0.999));
});

test("the follower resumes where it was, and rests", async () => {
  const asked = [], events = [], states = [];
  const bodies = ["event: ping\nid: 1.1\ndata: a\n\n", ":\nid: 5.0\n\n", null];
  let follower, ended = false;
  const finished = new Promise((done) => {
    follower = new Follower({
      open(lastID, signal) {
        asked.push(lastID);
        const body = bodies.shift();
        if (body === undefined) throw new Error("refused");
        if (body !== null) return new Response(body);
        // A stream that stays open until it is given back.
        return new Response(new ReadableStream({ start: (c) => signal.addEventListener("abort", () => c.error(new Error("aborted"))) }));
      },
      onEvent: (e) => events.push(e.data),
      onState(name) {
        if (ended) return;
        states.push(name);
        if (name === "waiting") setTimeout(() => follower.hurry());
        if (asked.length === 3 && name === "live") setTimeout(() => follower.rest(true));
        if (name === "resting") setTimeout(() => follower.rest(false));
        if (asked.length === 5) done();
      },
    });
    follower.run();
  });
  await finished;
  ended = true;
  follower.rest(true); // for ever
  assert.deepEqual(asked, ["", "1.1", "5.0", "5.0", "5.0"]);
  assert.deepEqual(events, ["a"]);
  assert.equal(states.filter((s) => s === "resting").length, 1);
});

test("the window of the list", () => {
  assert.deepEqual(windowOf(0, 100, 10, 0), { first: 0, end: 0 });
  assert.deepEqual(windowOf(0, 100, 10, 5, 2), { first: 0, end: 5 });
  assert.deepEqual(windowOf(1000, 100, 10, 1000, 2), { first: 98, end: 112 });
  assert.deepEqual(windowOf(99_999, 100, 10, 20, 2), { first: 17, end: 20 }, "beyond the end");
  assert.deepEqual(windowOf(0, 100, 0, 20), { first: 0, end: 0 }, "before it is measured");
  for (let i = 0; i < 1000; i++) {
    const [top, count] = [Math.random() * 1e5, Math.floor(Math.random() * 3000)];
    const { first, end } = windowOf(top, 400, 50, count);
    assert.ok(first >= 0 && first <= end && end <= count && end - first <= 30);
  }
});

test("figures of the last hour", () => {
  const stats = new Stats();
  const now = 1_700_000_000_000;
  for (let i = 1; i <= 100; i++) stats.add(now, i);
  stats.add(now - 59 * 60_000, NaN);
  stats.add(now - 61 * 60_000, 5);
  stats.add(NaN, 5);
  const series = stats.series(now);
  assert.equal(series.length, 60);
  assert.deepEqual([series[59].count, series[0].count], [100, 1]);
  assert.ok(Math.abs(series[59].p50 - 50) < 8, `p50 ${series[59].p50}`);
  assert.ok(Math.abs(series[59].p99 - 99) < 15, `p99 ${series[59].p99}`);
  assert.ok(Number.isNaN(series[0].p50));
  assert.equal(series.reduce((n, m) => n + m.count, 0), 101);
  for (let m = 0; m < 10_000; m++) stats.add(now + m * 60_000, 1); // must stay bounded
  assert.equal(stats.series(now + 9999 * 60_000).reduce((n, m) => n + m.count, 0), 60);
});

test("what happened in the last minute", () => {
  const recent = new Recent();
  recent.add(1_000_000);
  recent.add(1_059_000, 3);
  assert.equal(recent.count(1_059_500), 4);
  assert.equal(recent.count(1_061_000), 3);
  assert.equal(recent.count(1_200_000), 0);
});

test("the top of an axis", () => {
  for (const [n, want] of [[0, 1], [1, 1], [1.1, 2], [3, 5], [7, 10], [10, 10], [101, 200], [NaN, 1]]) assert.equal(ceiling(n), want);
});

function shuffled(all, seed) {
  const out = [...all];
  for (let i = out.length - 1; i > 0; i--) {
    seed = (seed * 48271) % 2147483647;
    const j = seed % (i + 1);
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}

function crossings(layout, edges) {
  const side = (a, b, c) => Math.sign((b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x));
  const found = [];
  for (const [i, e] of edges.entries()) {
    for (const f of edges.slice(i + 1)) {
      if (new Set([e.from, e.to, f.from, f.to]).size < 4) continue;
      const [a, b, c, d] = [e.from, e.to, f.from, f.to].map((id) => layout.get(id));
      if (side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0) found.push(`${e.from}-${e.to} ${f.from}-${f.to}`);
    }
  }
  return found;
}

test("the layout", async (t) => {
  const star = (n) => Array.from({ length: n - 1 }, (_, i) => ({ from: "n0", to: `n${i + 1}` }));
  const ids = (n) => Array.from({ length: n }, (_, i) => `n${i}`);
  for (const n of [1, 2, 3, 10, 60]) {
    await t.test(`${n} nodes come to rest apart from each other`, () => {
      const layout = new Layout();
      layout.set(ids(n), star(n));
      let steps = 0;
      while (layout.step()) assert.ok(++steps < 1000);
      assert.deepEqual([layout.nodes[0].x, layout.nodes[0].y], [0, 0]);
      for (const a of layout.nodes) {
        assert.ok(Math.hypot(a.x, a.y) < 3000);
        for (const b of layout.nodes) if (a !== b) assert.ok(Math.hypot(a.x - b.x, a.y - b.y) > 20, `${a.id} ${b.id}`);
      }
    });
  }
  await t.test("nothing is known yet, or any more", () => {
    const layout = new Layout();
    for (const n of [0, 2, 0]) {
      layout.set(ids(n), n > 0 ? star(n) : []);
      while (layout.step());
      assert.equal(layout.nodes.length, n);
    }
  });
  await t.test("nodes keep their places, and go", () => {
    const layout = new Layout();
    layout.set(ids(3), star(3));
    while (layout.step());
    const { x, y } = layout.get("n1");
    layout.set(["n0", "n1"], star(2));
    assert.deepEqual([layout.get("n1").x, layout.get("n1").y], [x, y]);
    assert.equal(layout.get("n2"), undefined);
  });
  await t.test("nodes in a line make room when a link closes the triangle", () => {
    const layout = new Layout();
    layout.set(ids(3), star(3));
    layout.get("n1").x = -130;
    layout.get("n2").x = 130;
    layout.get("n1").y = layout.get("n2").y = 0;
    layout.set(ids(3), [...star(3), { from: "n1", to: "n2" }]);
    while (layout.step());
    const [a, b] = [layout.get("n1"), layout.get("n2")];
    assert.ok(Math.abs(a.x * b.y - a.y * b.x) > 3000, "the three are in a line still");
  });
  const line = (n) => Array.from({ length: n - 1 }, (_, i) => ({ from: `n${i}`, to: `n${i + 1}` }));
  const tree = (n) => Array.from({ length: n - 1 }, (_, i) => ({ from: `n${Math.floor(i / 2)}`, to: `n${i + 1}` }));
  const ring = (n) => [...line(n), { from: `n${n - 1}`, to: "n0" }];
  // a ring of seven, three steps from the first node, with a tail
  const lasso = [...line(12), { from: "n9", to: "n3" }];
  const cases = [
    ["a line", 9, line(9)], ["a tree", 15, tree(15)], ["a star", 12, star(12)],
    ["a ring", 12, ring(12)], ["a large ring", 40, ring(40)], ["a lasso", 12, lasso],
  ];
  for (const [name, n, edges] of cases) {
    await t.test(`${name} is drawn without crossings, in whatever order its nodes are named`, () => {
      for (let seed = 1; seed <= 20; seed++) {
        const layout = new Layout();
        const peers = edges.filter(({ from }) => from === "n0").map(({ to }) => to);
        const others = ids(n).slice(1).filter((id) => !peers.includes(id));
        layout.set(["n0", ...peers], edges.slice(0, peers.length));
        for (let i = 0; i < seed; i++) layout.step();
        layout.set(["n0", ...shuffled(peers, seed), ...shuffled(others, seed)], shuffled(edges, seed));
        while (layout.step());
        assert.deepEqual(crossings(layout, edges), [], `seed ${seed}`);
        for (const { from, to } of edges) {
          const [a, b] = [layout.get(from), layout.get(to)];
          assert.ok(Math.hypot(a.x - b.x, a.y - b.y) > 50, `seed ${seed}: ${from} and ${to} overlap`);
        }
      }
    });
  }
  await t.test("a ring is drawn about round, and stays so when a node joins it", () => {
    const layout = new Layout();
    layout.set(["n0", "n1", "n11"], [{ from: "n0", to: "n1" }, { from: "n0", to: "n11" }]);
    for (const n of [12, 13]) {
      layout.set(ids(n), ring(n));
      while (layout.step());
      const middle = { x: 0, y: 0 };
      for (const { x, y } of layout.nodes) { middle.x += x / n; middle.y += y / n; }
      const away = layout.nodes.map(({ x, y }) => Math.hypot(x - middle.x, y - middle.y));
      assert.ok(Math.min(...away) > 0.5 * Math.max(...away), `${n}: from ${Math.min(...away)} to ${Math.max(...away)}`);
    }
  });
  await t.test("edges to nowhere and to oneself are left out, and so are too many nodes", () => {
    const layout = new Layout();
    layout.set(ids(most + 50), [{ from: "n0", to: "none" }, { from: "n0", to: "n0" }]);
    assert.equal(layout.nodes.length, most);
    layout.step();
    assert.ok(layout.nodes.every((n) => Number.isFinite(n.x)));
  });
});

test("the graph", () => {
  const peers = [{ peer_id: "b", on_topic: true, in_mesh: true, rtt_ms: 3 }, { peer_id: "c", on_topic: false, in_mesh: false, rtt_ms: 0 }];
  const map = {
    complete: true,
    nodes: [{ peer_id: "a", state: "answered" }, { peer_id: "b", state: "silent" }, { peer_id: "c", state: "silent" }, { peer_id: "d", agent: "x", state: "answered" }],
    edges: [
      { from: "b", to: "a", in_mesh: false, claimed_by: ["b"] }, // this node knows better
      { from: "d", to: "b", in_mesh: true, claimed_by: ["d", "d"] },
      { from: "d", to: "nobody", in_mesh: true, claimed_by: ["d"] },
      { from: "d", to: "d", claimed_by: [] },
    ],
  };
  const { nodes, edges } = graph("a", peers, map);
  assert.deepEqual([...nodes.values()].map((n) => `${n.id} ${n.kind} ${n.state}`), ["a self undefined", "b peer silent", "c peer undefined", "d far answered"]);
  assert.deepEqual(edges.map((e) => [e.key, e.mesh, e.claimed]), [["a b", true, 0], ["a c", false, 0], ["b d", true, 1]]);
  assert.deepEqual(edges.map(tellers), ["seen by this node itself", "seen by this node itself", "claimed by d alone"]);
  assert.equal(tellers({ claimed: 2, by: ["a", "b"] }), "claimed by both ends");
  assert.deepEqual(beyond("a", peers, map).map((n) => n.peer_id), ["d"]);
  assert.deepEqual(beyond("a", peers, null), []);
  assert.equal(graph("", peers, null).nodes.size, 0);
});

test("what a map lacks", () => {
  const nodes = [["silent"], ["silent"], ["unreached"], ["unasked"], ["unasked"], ["answered", 65], ["made up"]].map(([state, topic_peers = 1]) => ({ state, topic_peers }));
  assert.deepEqual(missing({ nodes, left: 1, undrawn: 1200, ended_early: true }), [
    "2 nodes answer nobody", "1 node did not answer", "of 1 nobody tells where it is", "1 node was left unasked",
    "the map has no room for 1,200 more", "1 node has more peers than told", "time ran out",
  ]);
  assert.deepEqual(missing({ nodes: [], left: 0, undrawn: 0, ended_early: false }), []);
});

test("sorting rows", () => {
  const rows = [{ key: "b", v: 10 }, { key: "a", v: 2 }, { key: "c", v: NaN }, { key: "d", v: 2 }];
  const keys = (down) => sortBy(rows, (r) => r.v, down).map((r) => r.key).join("");
  assert.equal(keys(false), "adbc");
  assert.equal(keys(true), "badc", "nothing comes last both ways");
  assert.equal(sortBy([{ key: "1", v: "p10" }, { key: "2", v: "p9" }, { key: "3", v: "" }], (r) => r.v, false).map((r) => r.key).join(""), "213");
});

test("colours and identicons", () => {
  const palette = new Palette();
  const ids = Array.from({ length: colours }, (_, i) => `12D3KooW${i}`);
  assert.equal(new Set(ids.map((id) => palette.colour(id))).size, colours, "a dozen of peers share none");
  for (const id of ids) assert.equal(palette.colour(id), palette.colour(id));
  for (let i = 0; i < 10_000; i++) assert.ok(palette.colour(`made up ${i}`) < colours);
  assert.notEqual(hash("a"), hash("b"));
  assert.equal(cells("12D3KooWA"), cells("12D3KooWA"));
  const pictures = new Set(Array.from({ length: 500 }, (_, i) => cells(`12D3KooW${i}`)));
  assert.ok(pictures.size > 480, `${pictures.size} pictures of 500`);
  for (const path of pictures) assert.match(path, /^(M[0-4] [0-4]h1v1h-1z)+$/);
});

test("how things are written", () => {
  assert.equal(format.short("12D3KooWAbcdefgh"), "Abcdefgh");
  assert.equal(format.plural(1, "peer"), "1 peer");
  assert.equal(format.plural(1234, "entry", "entries"), "1,234 entries");
  for (const [ms, want] of [[0.4, "0.40 ms"], [4.44, "4.4 ms"], [44.4, "44 ms"], [-3, "−3.0 ms"], [1500, "1.5 s"], [42_000, "42 s"], [90_000, "1 min 30 s"]]) assert.equal(format.delay(ms), want);
  for (const [ms, want] of [[-5, "0 s"], [59_000, "59 s"], [60_000, "1 min"], [3_600_000, "1 h 0 min"], [90_000_000, "1 day 1 h"]]) assert.equal(format.span(ms), want);
  assert.equal(format.bytes(1536), "1.5 KiB");
  assert.equal(format.instant("2026-01-02T03:04:05.000250Z") - format.instant("2026-01-02T03:04:05.000000Z"), 0.25);
  assert.ok(Number.isNaN(format.instant("0001-01-01T00:00:00.000000Z")));
  assert.ok(Number.isNaN(format.instant(undefined)));
  for (const text of ["a", "🎉", "مرحبا", "!", "a\u200b"]) assert.ok(format.visible(text), text);
  for (const text of ["", " ", "\u200b\u200d\u2060", "\u202e", "\u3164", "\n\t"]) assert.ok(!format.visible(text), JSON.stringify(text));
  assert.equal(format.clip("abcdef", 3), "abc…");
  assert.equal(format.clip("ab🎉cd", 3), "ab…", "no half of a character");
});

test("the verdict on being in sync", () => {
  const peer = (agreed, skew = 0, error = "") => ({ peer_id: "here", agreed, skew_ms: skew, error });
  const left = (agreed, error = "") => ({ ...peer(agreed, 120_000, error), peer_id: "left" });
  const here = new Set(["here", "not compared yet"]);
  const cases = [
    [{ peers: [] }, "idle", "–"],
    [{ peers: [peer(true), peer(true)] }, "good", "2/2"],
    [{ peers: [peer(true), peer(false)] }, "warn", "1/2"],
    [{ peers: [peer(true, 0, "cut off")] }, "warn", "0/1"],
    [{ peers: [peer(true)], full: true }, "bad", "1/1"],
    [{ peers: [peer(true), left(true), left(false), left(true, "cut off")] }, "good", "1/1"],
    [{ peers: [left(true)] }, "idle", "–"],
  ];
  for (const [sync, tone, figure] of cases) {
    const v = verdict(sync, here);
    assert.deepEqual([v.tone, v.figure], [tone, figure]);
  }
  assert.match(verdict({ peers: [] }, here).words, /yet/);
  assert.match(verdict({ peers: [left(true)] }, here).words, /now/);
  assert.equal(verdict({ peers: [peer(true, 59_000), left(true)] }, here).clocks, "");
  assert.match(verdict({ peers: [peer(true, -61_000)] }, here).clocks, /1 peer's clock is more than a minute off/);
});
