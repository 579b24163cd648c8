// What the page says of this node itself, and of how it compares with others.

import { digestArt, identicon } from "./author.js";
import { bytes, clip, clock, count, delay, instant, plural, short, span } from "./format.js";
import { stateWords } from "./graph.js";
import { Table } from "./table.js";

const find = (id) => document.getElementById(id);

// copyButton makes a button that copies text() and says that it did.
export function copyButton(what, text) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${what}`);
  button.addEventListener("click", async () => {
    const done = await copy(text());
    button.textContent = done ? "Copied" : "Select it";
    find("summary").textContent = done ? `Copied ${what}.` : "";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
  return button;
}

// copy works on plain http from other machines too, where there is no
// navigator.clipboard.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "hidden";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

// Identity shows who the node is.
export class Identity {
  #palette; #now; #started = NaN;

  constructor({ palette, now }) {
    this.#palette = palette;
    this.#now = now;
    find("peer-id").after(copyButton("the peer ID", () => find("peer-id").textContent));
  }

  show(id) {
    const colour = `a${this.#palette.colour(id.peer_id)}`;
    find("self-icon").className = `identicon big ${colour}`;
    find("self-icon").replaceChildren(identicon(id.peer_id));
    find("self-short").className = `mono author-text ${colour}`;
    find("self-short").textContent = short(id.peer_id);
    find("topic").textContent = id.topic;
    find("version").textContent = id.version;
    find("peer-id").textContent = id.peer_id;
    find("agent").textContent = id.agent;
    find("curl").textContent = `curl ${location.origin}/ping`;
    document.title = `${short(id.peer_id)} · p2ping`;
    this.#started = instant(id.started_at);
    find("started").textContent = clock(this.#started, this.#now());
    this.showReached(id.reached);
    find("addresses").replaceChildren(...id.addresses.map((address) => {
      const item = document.createElement("li");
      item.className = "copyline";
      const code = document.createElement("code");
      code.className = "mono";
      code.textContent = address;
      item.append(code, copyButton(`the address ${clip(address, 60)}`, () => address));
      return item;
    }));
    this.tick();
  }

  // showReached says from where peers have dialled the node.
  showReached(reached) {
    find("reached").textContent = reached.map(({ from }) => from).join(", ") || "nowhere so far";
  }

  tick() {
    if (!Number.isNaN(this.#started)) find("uptime").textContent = `up ${span(this.#now() - this.#started)}`;
  }
}

// peerCell writes a peer as its identicon and the end of its ID.
export function peerCell(palette) {
  return (cell, row) => {
    if (cell.dataset.peer === row.peer_id) return;
    cell.dataset.peer = row.peer_id;
    const icon = document.createElement("span");
    icon.className = `identicon small a${palette.colour(row.peer_id)}`;
    icon.append(identicon(row.peer_id));
    const name = document.createElement("span");
    name.className = `mono author-text a${palette.colour(row.peer_id)}`;
    name.textContent = short(row.peer_id);
    name.title = row.peer_id;
    cell.replaceChildren(icon, name);
  };
}

// ago writes a time as how long ago it was, from value(row) in ms.
const ago = (now, value) => (cell, row) => {
  const at = value(row);
  cell.textContent = Number.isNaN(at) ? "never" : `${span(now() - at)} ago`;
};

// stranger writes text from a peer: isolated, and cut where a place has no room.
const stranger = (value) => (cell, row) => {
  const bdi = cell.firstElementChild ?? cell.appendChild(document.createElement("bdi"));
  const text = value(row) ?? "";
  bdi.textContent = clip(text, 80);
  bdi.title = clip(text, 1000);
};

// peersTable makes the table that says what the drawing shows.
export function peersTable({ palette, now }) {
  const standing = (p) => (p.in_mesh ? "mesh" : p.on_topic ? "on the topic" : "connected");
  const connected = (p) => instant(p.connected_at);
  const table = new Table(find("peers"), [
    { title: "Peer", value: (p) => short(p.peer_id), fill: peerCell(palette) },
    { title: "Standing", value: standing, fill: (cell, p) => {
      cell.textContent = standing(p);
      cell.className = p.on_topic ? "good" : "warn";
    } },
    { title: "RTT", number: true, value: (p) => p.rtt_ms || NaN, fill: (cell, p) => { cell.textContent = p.rtt_ms > 0 ? delay(p.rtt_ms) : "–"; } },
    { title: "Link", value: (p) => [p.direction, p.transport, plain(p.security)].filter(Boolean).join(" · ") },
    { title: "For", number: true, value: (p) => now() - connected(p), fill: (cell, p) => { cell.textContent = span(now() - connected(p)); } },
    { title: "Found by", value: (p) => p.found ?? "", fill: stranger((p) => p.found || "–") },
    { title: "Agent", value: (p) => p.agent, fill: stranger((p) => p.agent || "–") },
    { title: "Address", value: (p) => p.addresses[0] ?? "", fill: addressCell },
  ]);
  return (peers) => {
    find("peers-empty").hidden = peers.length > 0;
    find("peers").parentElement.hidden = peers.length === 0;
    table.update(peers.map((p) => ({ ...p, key: p.peer_id })));
  };
}

// beyondTable makes the table of the nodes that this node is not connected to.
export function beyondTable({ palette }) {
  const told = (n) => n.seen_by.map(short).join(" ");
  const held = (value) => (n) => (n.answered ? value(n) : NaN);
  const number = (title, value) => ({ title, number: true, value: held(value), fill: (cell, n) => { cell.textContent = n.answered ? count(value(n)) : "–"; } });
  const table = new Table(find("beyond"), [
    { title: "Node", value: (n) => short(n.peer_id), fill: peerCell(palette) },
    { title: "State", value: (n) => n.state, fill: (cell, n) => {
      cell.textContent = stateWords[n.state] ?? "answered";
      cell.className = n.answered ? "good" : "warn";
    } },
    number("Pings", (n) => n.pings),
    number("Peers", (n) => n.topic_peers),
    { title: "Told of by", value: told, fill: stranger(told) },
    { title: "Agent", value: (n) => n.agent, fill: stranger((n) => n.agent || "–") },
  ]);
  return (nodes) => {
    find("beyond").parentElement.hidden = nodes.length === 0;
    table.update(nodes.map((n) => ({ ...n, key: n.peer_id })));
  };
}

// plain takes a protocol's slashes and version away: /tls/1.0.0 is tls.
const plain = (protocol) => (protocol ?? "").replace(/^\//, "").replace(/\/.*$/, "");

function addressCell(cell, p) {
  const address = p.addresses[0] ?? "";
  if (cell.dataset.address === address) return;
  cell.dataset.address = address;
  const full = address.includes("/p2p/") ? address : `${address}/p2p/${p.peer_id}`;
  const code = document.createElement("code");
  code.className = "mono clamp";
  code.textContent = address;
  code.title = clip(full, 1000);
  cell.className = "copyline";
  cell.replaceChildren(...(address ? [code, copyButton(`the address of ${short(p.peer_id)}`, () => full)] : []));
}

// Clocks further apart than this are shown as wrong, in milliseconds.
const wrongClock = 60_000;

// SyncPanel shows the ledger and the last comparison with each peer.
export class SyncPanel {
  #table;

  constructor({ palette, now }) {
    const compared = (p) => instant(p.compared_at);
    this.#table = new Table(find("agreement"), [
      { title: "Peer", value: (p) => short(p.peer_id), fill: peerCell(palette) },
      { title: "Outcome", value: outcome, fill: (cell, p) => {
        cell.textContent = p.here ? outcome(p) : `${outcome(p)}, then left`;
        cell.className = !p.here ? "quiet" : p.error ? "bad" : p.agreed ? "good" : "warn";
      } },
      { title: "Compared", number: true, value: compared, fill: ago(now, compared) },
      { title: "Its clock", number: true, value: (p) => p.skew_ms, fill: (cell, p) => {
        cell.textContent = Math.abs(p.skew_ms) < 1000 ? "agrees" : `${delay(Math.abs(p.skew_ms))} ${p.skew_ms > 0 ? "ahead" : "behind"}`;
        cell.className = Math.abs(p.skew_ms) > wrongClock ? "number bad" : "number";
      } },
    ]);
    find("digest").after(copyButton("the digest", () => find("digest").textContent));
  }

  // show takes what the node holds and whom it compared it with, and the IDs of
  // the peers that are connected.
  show(sync, connected) {
    find("sync-entries").textContent = `${plural(sync.entries, "entry", "entries")} with ${plural(sync.pings, "ping")}, ${bytes(sync.bytes)} on disk`;
    if (find("digest").textContent !== sync.digest) {
      find("digest").textContent = sync.digest;
      find("digest-art").replaceChildren(digestArt(sync.digest));
    }
    find("agreement-empty").hidden = sync.peers.length > 0;
    find("agreement").parentElement.hidden = sync.peers.length === 0;
    this.#table.update(sync.peers.map((p) => ({ ...p, key: p.peer_id, here: connected.has(p.peer_id) })));
    const { tone, words, clocks, figure, label } = verdict(sync, connected);
    find("sync-verdict").className = `verdict ${tone}`;
    find("sync-verdict").textContent = words;
    find("sync-clocks").textContent = clocks;
    find("sync-clocks").hidden = clocks === "";
    find("fig-sync").textContent = figure;
    find("fig-sync-label").textContent = label;
    find("fig-sync-box").dataset.tone = tone;
    find("fig-pings").textContent = count(sync.pings);
  }
}

function outcome(p) {
  if (p.error) return `failed: ${clip(p.error, 120)}`;
  if (p.agreed) return "equal";
  return `differed: ${count(p.missing)} missing here, ${count(p.extra)} there`;
}

// verdict puts a sync into words: {tone, words, clocks, figure, label}; clocks is
// "" where they are right. It is about the peers that are connected: what was
// found of others is history.
export function verdict(sync, connected) {
  const here = sync.peers.filter((p) => connected.has(p.peer_id));
  const all = here.length;
  const equal = here.filter((p) => p.agreed && !p.error).length;
  const figure = `${equal}/${all}`;
  const wrong = here.filter((p) => Math.abs(p.skew_ms) > wrongClock).length;
  const clocks = wrong > 0 ? `${plural(wrong, "peer's clock is", "peers' clocks are")} more than a minute off.` : "";
  if (sync.full) return { tone: "bad", words: "The disk is full: this node publishes nothing until there is room.", clocks, figure, label: "disk full" };
  if (all === 0) return { tone: "idle", words: sync.peers.length ? "There is no peer to compare with now." : "There is no peer to compare with yet.", clocks, figure: "–", label: "nobody to compare with" };
  if (equal === all) return { tone: "good", words: `Yes: equal with ${["the one peer", "both peers"][all - 1] ?? `all ${count(all)} peers`} when last compared.`, clocks, figure, label: "peers in sync" };
  return { tone: "warn", words: `Equal with ${count(equal)} of ${plural(all, "peer")} when last compared; the rest is being caught up.`, clocks, figure, label: "peers in sync" };
}
