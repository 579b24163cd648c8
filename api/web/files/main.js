// The page's wiring: what comes from the node, and where it is shown.

import { API, Refused } from "./api.js";
import { Palette } from "./author.js";
import { clip, clock, count, delay, instant, plural, short, span } from "./format.js";
import { List, delayOf, showText, viaWord } from "./list.js";
import { Log } from "./log.js";
import { Network } from "./network.js";
import { Identity, SyncPanel, peersTable } from "./panels.js";
import { bars, lines } from "./plot.js";
import { Follower } from "./sse.js";
import { Recent, Stats } from "./stats.js";

// What the node of this version serves. Asking for what it does not would be an
// error in the console.
const serves = { map: false, receipts: false };

const pageSize = 100; // pings of history loaded at a time
const hourPages = 30; // and at most, of hourSize each, for the plots
const hourSize = 1000;
const pollEvery = 5000; // ms between looks at peers and sync, whose changes also come as events
const tellEvery = 8000; // ms between what screen readers are told of pings
const restAfter = 30_000; // ms after which a tab out of sight gives its connection back

const find = (id) => document.getElementById(id);
const motion = matchMedia("(prefers-reduced-motion: reduce)");

const api = new API(askToken);
const now = () => api.now();
const palette = new Palette();
const log = new Log();
const stats = new Stats();
const recent = new Recent();
const receipts = new Map(); // ping id -> words
const authors = new Set(); // heard of, 4,096 at most
const state = { self: "", peers: new Map(), map: null, sync: null };

const identity = new Identity({ palette, now });
const syncPanel = new SyncPanel({ palette, now });
const showPeers = peersTable({ palette, now });
const network = new Network({ svg: find("drawing"), note: find("drawing-note"), palette, calm: () => motion.matches });
const list = new List({
  box: find("list"), space: find("list-space"), log, palette, now, receipts,
  onOpen: openDetail, onTop: () => { if (!log.filtered) loadOlder(); }, onChange: showTools,
});

// --- pings as they arrive, gathered and shown once a frame

let incoming = [];
let flushing = 0;

function arrived(item) {
  incoming.push(item);
  // Out of sight there are no frames.
  if (!flushing) flushing = document.hidden ? setTimeout(flush, 500) : requestAnimationFrame(flush);
}

function flush() {
  flushing = 0;
  const before = log.view.length;
  const { added, dropped } = log.append(incoming);
  incoming = [];
  for (const ping of added) if (!ping.gap) learn(ping, true);
  list.grew(log.view.length - before + dropped, dropped);
  showTools();
  tell(added);
  planSlow();
}

// learn takes a ping into the figures; live ones are drawn as they fly.
function learn(ping, live) {
  if (authors.size < 4096) authors.add(ping.author);
  if (!live) return;
  recent.add(now());
  record(ping);
  ping.fresh = !motion.matches;
  if (!document.hidden) network.arrived(ping);
}

// --- the last hour

let hour = { loading: true, seen: new Set(), waiting: [] };
let hourNote = "";

function record(ping) {
  if (hour.loading) {
    hour.waiting.push(ping);
    return;
  }
  const received = instant(ping.received_at);
  const heard = ping.via === "gossip" || ping.via === "catch-up";
  stats.add(received, heard ? Math.max(0, received - instant(ping.sent_at)) : NaN);
}

async function loadHour() {
  const pings = [];
  let next = `/pings?since=1h&limit=${hourSize}`;
  try {
    for (let i = 0; i < hourPages && next; i++) {
      const page = await api.get(next);
      pings.push(...page.pings);
      next = page.next ? pathOf(page.next) : "";
      await new Promise((done) => { setTimeout(done); });
    }
  } catch (err) {
    console.warn("the last hour's history is not to be had:", err);
  }
  const seen = new Set();
  const waiting = hour.waiting;
  hour = { loading: false };
  for (const ping of pings.concat(waiting)) {
    if (seen.has(ping.id)) continue;
    seen.add(ping.id);
    record(ping);
    const age = now() - instant(ping.received_at);
    if (age < 60_000 && !waiting.includes(ping)) recent.add(now() - age);
  }
  hourNote = next ? `There were more than ${count(hourSize * hourPages)}: the plots begin with the latest of them.` : "";
  planSlow();
}

// --- history

let older = ""; // the path of the page before the first that is held
let loading = false;

const pathOf = (link) => {
  const url = new URL(link, location.href);
  return url.pathname + url.search; // never to another host, whatever it says
};

async function loadRecent() {
  const page = await api.get(`/pings?limit=${pageSize}`);
  if (log.items.length === 0) {
    log.prepend(page.pings);
    older = page.next ? pathOf(page.next) : "";
    for (const ping of page.pings) learn(ping, false);
    list.plan();
  } else {
    for (const ping of page.pings) if (!log.has(ping.id)) arrived(ping);
  }
  showTools();
}

async function loadOlder() {
  if (loading || log.full || !(older || log.trimmed)) return;
  loading = true;
  try {
    // Where the list let go of its oldest pings, the link is of a page too far.
    const from = log.trimmed && log.oldest ? `/pings?limit=${pageSize}&until=${encodeURIComponent(log.oldest.id)}` : older;
    const page = await api.get(from);
    log.trimmed = false;
    older = page.next ? pathOf(page.next) : "";
    for (const ping of page.pings) learn(ping, false);
    list.grewAbove(log.prepend(page.pings));
  } catch (err) {
    if (!(err instanceof TypeError)) banner(`The history could not be loaded: ${err.message}`);
    await new Promise((done) => { setTimeout(done, 2000); });
  } finally {
    loading = false;
    showTools();
  }
}

// --- the stream

let streamed = false; // a stream has stood before

const follower = new Follower({
  open: (cursor, signal) => api.events(cursor, signal),
  onEvent(event) {
    try {
      take(event.type, JSON.parse(event.data));
    } catch (err) {
      console.warn("an event that is not understood:", event.type, err);
    }
  },
  onState(name, detail) {
    showState(name, detail);
    if (name === "live") stands();
  },
});

// stands looks at all that the stream does not repeat.
async function stands() {
  const first = !streamed;
  streamed = true;
  try {
    await refreshIdentity();
    // After the stream began, so that nothing falls between the two.
    await Promise.all([loadRecent(), poll()]);
    if (first) await loadHour();
  } catch (err) {
    console.warn("the node could not be asked:", err);
  }
}

function take(type, data) {
  switch (type) {
    case "ping":
      arrived(data);
      break;
    case "peer":
      if (data.type === "left") state.peers.delete(data.peer.peer_id);
      else state.peers.set(data.peer.peer_id, data.peer);
      planSlow();
      break;
    case "sync":
      state.sync = data;
      planSlow();
      break;
    case "gap":
      gap(data);
      break;
  }
}

let gaps = 0;

function gap(data) {
  gaps++;
  const words = "Some pings are missing here: the node had forgotten them before this page asked for them.";
  arrived({ gap: words, id: `gap-${gaps}-${data.first ?? ""}` });
  banner(words + " It keeps them only for so long (--retention).");
  showState("live");
}

async function refreshIdentity() {
  const id = await api.get("/id");
  state.self = id.peer_id;
  palette.colour(id.peer_id);
  identity.show(id);
}

async function poll() {
  const [peers, sync, map] = await Promise.all([api.get("/peers"), api.get("/sync"), serves.map ? api.get("/map") : null]);
  state.peers = new Map(peers.peers.map((p) => [p.peer_id, p]));
  state.sync = sync;
  state.map = map;
  planSlow();
}

// --- panels that need no frame rate

let slowPlanned = false;
let live = false;

function planSlow() {
  if (slowPlanned) return;
  slowPlanned = true;
  setTimeout(() => {
    slowPlanned = false;
    showSlow();
  }, 250);
}

function showSlow() {
  const peers = [...state.peers.values()].sort((a, b) => (a.peer_id < b.peer_id ? -1 : 1));
  for (const p of peers) palette.colour(p.peer_id);
  showPeers(peers);
  const onTopic = peers.filter((p) => p.on_topic).length;
  find("fig-peers").textContent = count(onTopic);
  find("fig-peers-label").textContent = onTopic === 1 ? "peer on the topic" : "peers on the topic";
  find("fig-rate").textContent = count(recent.count(now()));
  if (state.sync) syncPanel.show(state.sync);
  network.update({ self: state.self, peers, map: state.map, authors });
  find("legend-claim").hidden = !state.map;
  const series = stats.series(now());
  bars(find("rate-plot"), series);
  lines(find("delay-plot"), series, delay);
  find("activity-note").textContent = `Delay runs from the author's clock to this node's. ${hourNote}`;
  identity.tick();
}

// --- the page's own state

const pill = {
  connecting: "Connecting", live: "Live", waiting: "Reconnecting", resting: "Resting",
};

let retryAt = 0;

function showState(name, detail) {
  live = name === "live";
  const gapped = live && !find("banner").hidden && gaps > 0;
  find("state").dataset.state = gapped ? "gap" : name === "connecting" && streamed ? "waiting" : name;
  find("state-text").textContent = gapped ? "Live, with a gap" : name === "connecting" && streamed ? "Reconnecting" : pill[name];
  retryAt = detail?.wait ? Date.now() + detail.wait : 0;
  if (name === "waiting") find("state").title = clip(detail.reason, 200);
  else find("state").removeAttribute("title");
  tickState();
}

function tickState() {
  const left = retryAt - Date.now();
  find("state-detail").textContent = retryAt && left > 1000 ? `next try in ${span(left)}` : "";
}

function banner(words) {
  find("banner-text").textContent = words;
  find("banner").hidden = false;
}

find("banner-close").addEventListener("click", () => {
  find("banner").hidden = true;
  gaps = 0;
  if (live) showState("live");
});

// --- what screen readers are told: a summary, seldom

let told = 0;
let untold = 0;
let lastTold = null;
let telling = 0;

function tell(items) {
  for (const item of items) {
    if (item.gap) continue;
    untold++;
    lastTold = item;
  }
  if (untold === 0 || telling || log.paused) return;
  telling = setTimeout(() => {
    telling = 0;
    told = Date.now();
    find("summary").textContent = `${plural(untold, "new ping")}, the last from ${short(lastTold.author)}: ${clip(lastTold.text, 120)}`;
    untold = 0;
  }, Math.max(300, told + tellEvery - Date.now()));
}

// --- tools of the list

function showTools() {
  const n = log.view.length;
  find("list-empty").hidden = n > 0;
  find("list-empty").classList.toggle("none-match", log.filtered && log.items.length > 0);
  find("list-count").textContent = log.filtered ? `${count(n)} of ${count(log.items.length)} loaded pings match` : log.items.length ? `${plural(log.items.length, "ping")} loaded` : "";
  find("older").hidden = log.full || !(older || log.trimmed);
  find("pause").setAttribute("aria-pressed", log.paused);
  find("pause").textContent = log.paused ? (log.waiting ? `Resume (${count(log.waiting)})` : "Resume") : "Pause";
  find("follow").setAttribute("aria-pressed", list.following);
  find("jump").hidden = list.following || list.unseen === 0;
  find("jump").textContent = `${count(list.unseen)} new below`;
}

find("filter").addEventListener("input", (e) => {
  log.filter(e.target.value);
  list.follow(true);
  showTools();
});
find("pause").addEventListener("click", () => {
  log.pause(!log.paused);
  list.plan();
  showTools();
  tell([]);
});
find("follow").addEventListener("click", () => { list.follow(!list.following); showTools(); });
find("jump").addEventListener("click", () => { list.follow(true); showTools(); find("list").focus(); });
find("older").addEventListener("click", () => { loadOlder(); });

// --- one ping, whole

function openDetail(ping) {
  showText(find("detail-text"), ping.text);
  const facts = [
    ["Author", ping.author], ["Sent", `${clock(instant(ping.sent_at), now())} (${ping.sent_at})`],
    ["Received", `${clock(instant(ping.received_at), now())} (${ping.received_at})`],
    ["Delay", delayOf(ping)], ["Came by", viaWord(ping)], ["Handed on by", ping.from ?? ""], ["Stored by", receipts.get(ping.id) ?? ""],
    ["Length", `${count(new TextEncoder().encode(ping.text).length)} bytes`], ["ID", ping.id],
  ];
  find("detail-facts").replaceChildren(...facts.filter(([, value]) => value).flatMap(([name, value]) => {
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    return [dt, dd];
  }));
  find("detail").showModal();
}

find("detail-close").addEventListener("click", () => find("detail").close());
find("detail").addEventListener("click", (e) => { if (e.target === find("detail")) find("detail").close(); });

// --- sending

const sendText = find("send-text");

find("send").addEventListener("submit", async (e) => {
  e.preventDefault();
  const button = find("send-button");
  button.disabled = true;
  const peers = [...state.peers.values()].filter((p) => p.on_topic).length;
  try {
    const sending = api.publish(sendText.value, serves.receipts ? Math.min(peers, 16) : 0);
    if (!serves.receipts) find("send-note").textContent = "";
    const published = await sending;
    sendText.value = "";
    note(published);
    list.follow(true);
  } catch (err) {
    find("send-note").textContent = err instanceof Refused ? `Not sent: ${err.message}.` : "Not sent: the node does not answer.";
  } finally {
    button.disabled = false;
  }
});

function note(published) {
  const to = published.topic_peers;
  let words = to > 0 ? `Signed, stored, and handed to ${plural(to, "peer")}.` : "Signed and stored. Nobody is on the topic yet: who comes later catches up.";
  if (published.receipts) {
    const stored = published.receipts.length;
    receipts.set(published.id, `stored by ${count(stored)}`);
    if (receipts.size > 500) receipts.delete(receipts.keys().next().value);
    words = `Signed, and stored here and by ${plural(stored, "other node")}.`;
    list.plan();
  }
  find("send-note").textContent = words;
}

sendText.addEventListener("keydown", (e) => {
  if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
  e.preventDefault();
  find("send").requestSubmit();
});

// --- the token

function askToken(refused) {
  const dialog = find("token");
  find("token-refused").hidden = !refused;
  find("token-text").value = "";
  if (!dialog.open) dialog.showModal();
  find("token-text").focus();
  return new Promise((done) => {
    find("token-form").addEventListener("submit", (e) => {
      e.preventDefault();
      const token = find("token-text").value.trim();
      find("token-text").value = "";
      dialog.close();
      done(token);
    }, { once: true });
  });
}

// Nothing works without it, so it can't be waved away.
find("token").addEventListener("cancel", (e) => e.preventDefault());

// --- time, and what the browser tells

setInterval(() => {
  tickState();
  if (document.hidden) return;
  find("fig-rate").textContent = count(recent.count(now()));
  identity.tick();
}, 1000);

setInterval(() => {
  if (live && !document.hidden) poll().catch(() => { /* the stream will notice */ });
}, pollEvery);

let resting = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(resting);
  if (document.hidden) {
    resting = setTimeout(() => follower.rest(true), restAfter);
    return;
  }
  follower.rest(false);
  follower.hurry();
  if (incoming.length) flush();
  planSlow();
});
addEventListener("online", () => follower.hurry());
new ResizeObserver(planSlow).observe(find("activity"));

showTools();
follower.run();
