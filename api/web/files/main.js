// The page's wiring: what comes from the node, and where it is shown.

import { API } from "./api.js";
import { Palette } from "./author.js";
import { askToken, openDetail } from "./dialogs.js";
import { clip, count, delay, plural, short, span } from "./format.js";
import { beyond } from "./graph.js";
import { History } from "./history.js";
import { Hour } from "./hour.js";
import { List } from "./list.js";
import { Log } from "./log.js";
import { Network } from "./network.js";
import { Identity, SyncPanel, beyondTable, peersTable } from "./panels.js";
import { bars, lines } from "./plot.js";
import { Poller } from "./poller.js";
import { setUpSending } from "./send.js";
import { Follower } from "./sse.js";

const mostAuthors = 4096; // remembered; a flood of made-up ones must not fill memory
const pollEvery = 5000; // ms between looks at peers and sync when nothing happens
const mapEvery = 10_000; // ms between looks at what neighbours tell of the network
const pollAtMost = 1000; // ms between them when something does
const tellEvery = 8000; // ms between what screen readers are told of pings
const restAfter = 30_000; // ms after which a tab out of sight gives its connection back
const mostIncoming = 5000; // pings that wait for a frame, which need not come
const mostFresh = 4; // new pings in one frame that are highlighted; of more nobody sees each
const askAgain = 1000; // ms after which what failed is asked for again

const find = (id) => document.getElementById(id);
const motion = matchMedia("(prefers-reduced-motion: reduce)");

const api = new API(askToken);
const now = () => api.now();
const palette = new Palette();
const log = new Log();
const hour = new Hour(now);
const receipts = new Map(); // ping id -> words
const authors = new Set();
const state = { self: "", peers: [], map: null, sync: null };

const identity = new Identity({ palette, now });
const syncPanel = new SyncPanel({ palette, now });
const showPeers = peersTable({ palette, now });
const showBeyond = beyondTable({ palette });
const network = new Network({ svg: find("drawing"), note: find("drawing-note"), palette, calm: () => motion.matches });
const list = new List({
  box: find("list"), space: find("list-space"), log, palette, now, receipts,
  onOpen: (ping) => openDetail(ping, now(), receipts.get(ping.id)),
  onTop: () => loadAtTop(),
  onChange: showTools,
});
const onTopic = () => state.peers.filter((p) => p.on_topic).length;

setUpSending({ api, receipts, onTopic, onSent: () => { list.follow(true); list.plan(); } });

// --- pings as they arrive, gathered and shown once a frame

let incoming = [];
let flushing = 0;

function arrived(item) {
  incoming.push(item);
  if (incoming.length >= mostIncoming) flush();
  // Out of sight there are no frames.
  else if (!flushing) flushing = document.hidden ? setTimeout(flush, 500) : requestAnimationFrame(flush);
}

function flush() {
  flushing = 0;
  if (incoming.length === 0) return;
  const { added, grown, dropped } = log.append(incoming);
  incoming = [];
  for (const ping of added) {
    if (ping.gap) continue;
    meet(ping.author);
    hour.record(ping);
    ping.fresh = !motion.matches && added.length <= mostFresh;
    if (!document.hidden) network.arrived(ping);
  }
  list.grew(grown, dropped);
  showTools();
  tell(added);
  poller.soon();
}

function meet(author) {
  if (authors.size < mostAuthors) authors.add(author);
}

// --- history

// getPage resolves to a page {pings, next}, next being a path or "".
async function getPage(path) {
  const page = await api.get(path);
  if (!page.next) return { pings: page.pings, next: "" };
  const link = new URL(page.next, location.href);
  return { pings: page.pings, next: link.pathname + link.search }; // of this node, whatever it says
}

const history = new History({
  get: getPage, log,
  onPage(pings, rows) {
    for (const ping of pings) meet(ping.author);
    list.grewAbove(rows);
    showTools();
  },
});

let failed = false; // to load history, just now

async function loadOlder() {
  if (failed) return;
  try {
    await history.loadOlder();
  } catch (err) {
    console.warn("loading history:", err);
    failed = true;
    setTimeout(() => {
      failed = false;
      loadAtTop();
    }, askAgain);
  }
}

// loadAtTop loads what the user has scrolled up for. Who waits there scrolls no
// further, so it is called again after what failed.
function loadAtTop() {
  if (live && list.atTop && !log.filtered) loadOlder();
}

// --- the stream

let live = false;

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
    live = name === "live";
    showState(name, detail);
    if (live) stands();
  },
});

// stands looks at all that the stream does not repeat, after it began: so
// nothing falls between the two. What fails is asked for again while it stands.
let stood = 0; // streams that stood, and tries to ask again

async function stands() {
  const mine = ++stood;
  try {
    await lookAtSelf();
    await history.loadRecent();
    await poller.now();
    loadAtTop();
    await hour.load(getPage);
    poller.soon();
  } catch (err) {
    console.warn("asking the node:", err);
    setTimeout(() => { if (live && mine === stood) stands(); }, askAgain);
  }
}

function take(type, data) {
  if (type === "ping") arrived(data);
  else if (type === "gap") gap(data.reason);
  else poller.soon(); // peer or sync: the whole is asked for, as it is small
}

let gaps = 0; // since the user last took note

function gap(reason) {
  gaps++;
  const words = reason === "other_ledger"
    ? "The node has not the ledger that it had: what was shown before may be missing in it."
    : "Pings are missing here: the node had forgotten them before this page asked for them.";
  arrived({ gap: words, id: `gap-${Date.now()}-${gaps}` });
  find("banner-text").textContent = words;
  find("banner").hidden = false;
  showState("live");
}

async function lookAtSelf() {
  const id = await api.get("/id");
  state.self = id.peer_id;
  palette.colour(id.peer_id);
  identity.show(id);
}

const poller = new Poller(async () => {
  if (!live || document.hidden) return;
  lookAtMap();
  const [peers, sync, id] = await Promise.all([api.get("/peers"), api.get("/sync"), api.get("/id")]);
  identity.showReached(id.reached);
  state.peers = peers.peers.sort((a, b) => (a.peer_id < b.peer_id ? -1 : 1));
  for (const p of state.peers) palette.colour(p.peer_id);
  state.sync = sync;
  showPanels();
}, pollAtMost);

let mapped = -mapEvery;

// lookAtMap is waited for by nobody: the node asks the network, which takes up
// to 15 seconds. Whoever asks meanwhile gets the same map.
function lookAtMap() {
  if (performance.now() - mapped < mapEvery) return;
  mapped = performance.now();
  api.get("/map").then((map) => {
    state.map = map;
    showPanels();
  }, () => { /* what was known before stays */ });
}

// --- panels that need no frame rate

function showPanels() {
  showPeers(state.peers);
  showBeyond(beyond(state.self, state.peers, state.map));
  find("fig-peers").textContent = count(onTopic());
  find("fig-peers-label").textContent = onTopic() === 1 ? "peer on the topic" : "peers on the topic";
  if (state.sync) syncPanel.show(state.sync, new Set(state.peers.map((p) => p.peer_id)));
  const { claims } = network.update({ self: state.self, peers: state.peers, map: state.map, authors });
  find("legend-claim").hidden = !claims;
  find("legend-mute").hidden = !state.map?.nodes.some((n) => !n.answered);
  showActivity();
  tick();
}

function showActivity() {
  const series = hour.series();
  bars(find("rate-plot"), series);
  lines(find("delay-plot"), series, delay);
  find("activity-note").textContent = `Delay runs from the author's clock to this node's. ${hour.note}`;
}

function tick() {
  find("fig-rate").textContent = count(hour.lastMinute());
  identity.tick();
}

// --- the page's own state

const stateWords = { connecting: "Connecting", live: "Live", gap: "Live, with a gap", waiting: "Reconnecting", resting: "Resting" };

let retryAt = 0;

function showState(name, detail) {
  if (name === "live" && gaps > 0) name = "gap";
  if (name === "connecting" && stood > 0) name = "waiting";
  find("state").dataset.state = name;
  find("state").title = clip(detail?.reason ?? "", 200);
  const words = stateWords[name];
  if (find("state-text").textContent !== words) find("state-text").textContent = words; // said once
  retryAt = detail ? performance.now() + detail.wait : 0;
  showRetry();
}

function showRetry() {
  const left = retryAt - performance.now();
  find("state-detail").textContent = left > 1000 ? `next try in ${span(left)}` : "";
}

find("banner-close").addEventListener("click", () => {
  hide(find("banner"), true);
  gaps = 0;
  if (live) showState("live");
});

// --- what screen readers are told: a summary, seldom

let told = -tellEvery;
let untold = [];
let telling = 0;

function tell(items) {
  const pings = items.filter((item) => !item.gap);
  untold = [untold[0] ?? 0, untold[1]];
  if (pings.length) untold = [untold[0] + pings.length, pings.at(-1)];
  if (untold[0] === 0 || telling || log.paused) return;
  telling = setTimeout(() => {
    telling = 0;
    told = performance.now();
    const [n, last] = untold;
    untold = [];
    find("summary").textContent = `${plural(n, "new ping")}, the last from ${short(last.author)}: ${clip(last.text, 120)}`;
  }, Math.max(300, told + tellEvery - performance.now()));
}

// --- tools of the list

function showTools() {
  const n = log.view.length;
  find("list-empty").hidden = !history.loaded || log.items.length > 0 || log.waiting > 0;
  find("list-nothing").hidden = n > 0 || log.items.length === 0;
  find("list-count").textContent = log.filtered
    ? `${count(n)} of ${count(log.items.length)} loaded pings match`
    : log.items.length ? `${plural(log.items.length, "ping")} loaded` : "";
  hide(find("older"), !history.more);
  find("pause").classList.toggle("on", log.paused);
  const words = log.paused ? "Resume" : "Pause";
  if (find("pause-text").textContent !== words) find("pause-text").textContent = words;
  find("pause-count").textContent = log.waiting ? ` (${count(log.waiting)})` : "";
  find("follow").setAttribute("aria-pressed", list.following);
  hide(find("jump"), list.following || list.unseen === 0);
  find("jump").textContent = `${count(list.unseen)} new below`;
}

// hide hides an element or shows it. A keyboard that was in it goes to the list.
function hide(element, on) {
  if (on && element.contains(document.activeElement)) find("list").focus({ preventScroll: true });
  element.hidden = on;
}

find("filter").addEventListener("input", (e) => {
  log.filter(e.target.value);
  list.follow(true);
});
find("pause").addEventListener("click", () => {
  if (log.paused) {
    const { grown, dropped } = log.resume();
    list.grew(grown, dropped);
  } else {
    log.pause();
  }
  showTools();
  tell([]);
});
find("follow").addEventListener("click", () => list.follow(!list.following));
find("jump").addEventListener("click", () => {
  list.follow(true);
  find("list").focus();
});
find("older").addEventListener("click", loadOlder);

// --- time, and what the browser tells

setInterval(() => {
  showRetry();
  if (!document.hidden) tick();
}, 1000);
setInterval(() => poller.soon(), pollEvery);

let resting = 0;

function seen() {
  clearTimeout(resting);
  if (document.hidden) {
    resting = setTimeout(() => follower.rest(true), restAfter);
    return;
  }
  follower.rest(false);
  follower.hurry();
  flush();
  poller.soon();
}

document.addEventListener("visibilitychange", seen);
addEventListener("online", () => follower.hurry());
new ResizeObserver(showActivity).observe(find("activity"));

showTools();
seen(); // a tab may be opened behind another
follower.run();
