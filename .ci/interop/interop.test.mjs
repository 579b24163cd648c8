// A peer on js-libp2p, written from node/PROTOCOL.md, against real p2ping nodes.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, afterEach, before, test } from "node:test";
import { generateKeyPair, generateKeyPairFromSeed } from "@libp2p/crypto/keys";
import { peerIdFromPrivateKey, peerIdFromString } from "@libp2p/peer-id";
import { Node, patience, root, stopAll, until as come } from "../page/nodes.mjs";
import { BadBytes, field, fields } from "./bytes.mjs";
import { fromBytes, sign, signPrefix, signedBytes } from "./entry.mjs";
import { judged } from "./judged.mjs";
import { Ledger, fingerprint } from "./ledger.mjs";
import { agent, startPeer } from "./peer.mjs";

const loopback = "/ip4/127.0.0.1/tcp/0";
const protocols = ["catchup", "receipt", "status", "peers"];

let node; // a p2ping node that keeps running; what a test sends to it stays there
const peers = new Set();

before(async () => {
  node = await new Node("node", "--listen", `${loopback}/ws`).start();
});

afterEach(() => Promise.all([...peers].map(leave)));

after(stopAll);

async function start(options) {
  const peer = await startPeer(options);
  peers.add(peer);
  return peer;
}

// seenBy waits until a node says something of a peer.
const seenBy = (at, peer, look) => come(`${at.name} knows the peer`, async () => {
  const of = (await at.get("/peers")).peers.find((p) => p.peer_id === peer.id.toString());
  return of?.agent === agent && look(of);
});

// join connects a peer, and waits until pings go to it, and from it, at once.
async function join(peer, at = node, address = at.address) {
  const id = await peer.connect(address);
  await come("the peer has the node in its mesh", () => peer.pubsub.getMeshPeers(peer.topic).includes(id.toString()));
  await seenBy(at, peer, (p) => p.on_topic && p.in_mesh);
  return id;
}

async function leave(peer) {
  peers.delete(peer);
  await peer.stop();
}

// shown waits until a node shows a text, and gives the ping.
const shown = (text, at = node) => come(`${at.name} shows ${text}`, async () =>
  (await at.get("/pings?limit=1000")).pings.find((p) => p.text === text));

const seen = (peer, text) => peer.ledger.until(`the peer reads ${text}`, () =>
  peer.ledger.entries.find((e) => e.pings.some((p) => p.text === text)), patience);

const equal = (peer, at = node) => come(`${at.name} and the peer hold the same`, async () => {
  const sync = await at.get("/sync");
  if (sync.digest === peer.ledger.digest) return sync;
  throw new Error(`the node holds ${sync.entries} entries, the peer ${peer.ledger.entries.length}`);
});

const idBytes = (of) => peerIdFromString(of.id).toMultihash().bytes;

// keyWithID draws a key until its peer ID will do.
async function keyWithID(will) {
  for (;;) {
    const key = await generateKeyPair("Ed25519");
    if (will(peerIdFromPrivateKey(key).toMultihash().bytes)) return key;
  }
}

// holding makes a ledger of entries.
function holding(entries) {
  const ledger = new Ledger("p2ping");
  for (const entry of entries) ledger.add(entry);
  return ledger;
}

test("the example of the protocol, byte by byte", async () => {
  const document = readFileSync(path.join(root, "node/PROTOCOL.md"), "utf8");
  const example = document.match(/^ {4}entry:\n(?<fields>(?: {6}.*\n)+) {4}author: (?<author>\S+)\n {4}time: +(?<time>\d+)\n {4}id: +(?<id>\S+)\n.*\n +(?<digest>\S+)\n/m).groups;
  const bytes = Buffer.from(example.fields.replace(/^ {6}\w+$/gm, "").replace(/\s/g, ""), "hex");

  const entry = await fromBytes(bytes);
  assert.equal(entry.author, example.author);
  assert.equal(entry.time, Number(example.time));
  assert.equal(entry.id, example.id);
  assert.equal(fingerprint([entry]).toString("hex"), example.digest);
  assert.deepEqual(entry.pings, [{ text: "hello", sentAt: 1767323045678901n }, { text: "é", sentAt: 1767323045678902n }]);

  const key = await generateKeyPairFromSeed("Ed25519", Buffer.alloc(32, 7));
  const data = bytes.subarray(42, 42 + bytes[41]); // after from, 40 bytes, and the data's tag and length
  const signed = await sign(key, "p2ping", Buffer.from("0000000000000001", "hex"), data);
  assert.equal(signed.bytes.toString("hex"), bytes.toString("hex"));
});

// verifies tells whether the node takes bytes for an entry. It then complains that
// this import does not repeat in JSON what they say.
async function verifies(raw) {
  const body = JSON.stringify({ raw: raw.toString("base64") });
  const answer = await fetch(`${node.url}/entries`, { method: "POST", headers: { "Content-Type": "application/x-ndjson" }, body });
  assert.equal(answer.status, 200);
  const { refused, errors } = await answer.json();
  assert.equal(refused, 1);
  return errors[0].detail.includes("what it says in JSON is not what its author signed");
}

test("the peer and the node judge alike", async () => {
  const key = await generateKeyPairFromSeed("Ed25519", Buffer.alloc(32, 7));
  const from = Buffer.concat([Buffer.from("002408011220", "hex"), key.publicKey.raw]);
  for (const [what, hex, valid] of judged) {
    const signed = signedBytes({ from, data: Buffer.from(hex.replaceAll(" ", ""), "hex"), seqno: Buffer.alloc(8), topic: "p2ping" });
    const raw = Buffer.concat([signed.subarray(signPrefix.length), field(5, await key.sign(signed))]);
    const verdict = await fromBytes(raw).then(() => true, (err) => {
      if (err instanceof BadBytes) return false;
      throw err;
    });
    assert.equal(verdict, valid, `the peer on ${what}`);
    assert.equal(await verifies(raw), valid, `the node on ${what}`);
  }
});

for (const transport of ["tcp", "ws"]) {
  test(`pings go both ways by ${transport}`, async () => {
    const { addresses } = await node.get("/id");
    const address = addresses.find((a) => a.includes("/ws/") === (transport === "ws"));
    await come(`the node prints ${address}`, () => {
      if (node.log.includes(address)) return true;
      throw new Error(node.log);
    });
    const peer = await start();
    await join(peer, node, address);

    const ids = []; // what the peer calls the messages
    peer.pubsub.addEventListener("gossipsub:message", ({ detail }) => ids.push(Buffer.from(detail.msgId, "base64").toString("hex")));
    const entry = await peer.publish(`one by ${transport}`, `ü\u0000\u{1F680} by ${transport}`);
    const first = await shown(`one by ${transport}`);
    const second = await shown(`ü\u0000\u{1F680} by ${transport}`);
    for (const [i, ping] of [first, second].entries()) {
      assert.equal(ping.author, peer.id.toString());
      assert.equal(ping.via, "gossip");
      assert.equal(ping.id, `${entry.id}-${i}`);
    }

    const [from, , seqno] = [...fields(entry.bytes)].map((f) => f.value.toString("hex"));
    assert.ok(ids.includes(from + seqno), `${from + seqno} is not among what it calls messages: ${ids}`);

    node.curl(`from curl to ${transport}`);
    const read = await seen(peer, `from curl to ${transport}`);
    assert.equal(read.author, node.id);
    const texts = Array.from({ length: 100 }, (_, i) => `${i} of many to ${transport}`);
    node.publishMany(texts);
    for (const text of texts) await seen(peer, text);
    const many = peer.ledger.entries.filter((e) => e.pings.some((p) => texts.includes(p.text)));
    assert.ok(many.some((e) => e.pings.length > 1), "no batch came");
    assert.deepEqual(many.flatMap((e) => e.pings.map((p) => p.text)).toSorted(), texts.toSorted());
  });
}

// alone publishes so many entries as a peer that nobody is connected to and that
// ends before anybody is, and gives what to start it with again.
async function alone(ledger, n, text) {
  const privateKey = await generateKeyPair("Ed25519");
  const peer = await start({ privateKey, ledger });
  for (let i = 0; i < n; i++) await peer.publish(text(i), "and another");
  await leave(peer);
  return { privateKey, ledger };
}

// copied gives all entries that the node holds.
async function copied() {
  const peer = await start({ subscribe: false });
  await peer.catchUp(await peer.connect(node.address));
  await leave(peer);
  return peer.ledger.entries;
}

test("catch-up begun by the peer: all that a node holds, then what differs, then nothing", async () => {
  const author = await start();
  const id = await join(author);
  for (let i = 0; i < 400; i++) await author.publish(`old ${i} `.padEnd(1000, "."));
  await author.catchUp(id); // gossip may have lost some
  await equal(author);
  node.publishMany(Array.from({ length: 2500 }, (_, i) => `batch ${i}`));
  await leave(author);
  const held = await node.get("/sync");
  assert.ok(held.entries > 400, `only ${held.entries} entries`);

  const fresh = await start({ subscribe: false });
  await fresh.connect(node.address);
  const everything = await fresh.catchUp(id);
  assert.equal(everything.added.length, held.entries);
  assert.equal(fresh.ledger.digest, held.digest);
  assert.equal(fresh.ledger.entries.reduce((n, e) => n + e.pings.length, 0), held.pings);

  // Every seventh is missing, here and there ten in a row; some it has alone.
  const ledger = holding(fresh.ledger.entries.filter((_, i) => i % 7 !== 0 && i % 100 > 10));
  const missing = held.entries - ledger.entries.length;
  const apart = await start({ ...await alone(ledger, 70, (i) => `apart ${i} `.padEnd(4000, ".")), subscribe: false });
  await apart.connect(node.address);
  const difference = await apart.catchUp(id);
  assert.equal(difference.added.length, missing);
  assert.equal(difference.sent, 70);
  assert.equal(difference.turns, 2); // it lists; then it sends, and asks for what the node has listed
  await equal(apart);
  const ping = await shown("apart 69 ".padEnd(4000, "."));
  assert.equal(ping.via, "catch-up");
  assert.equal(ping.author, apart.id.toString());

  assert.deepEqual(await apart.catchUp(id), { equal: true });
});

test("catch-up begun by the node: what the peer published while it was alone", async () => {
  const all = await copied();
  const some = holding(all.filter((_, i) => i % 9 !== 0));
  const missing = all.length - some.entries.length;
  const peer = await start({ protocols, ...await alone(some, 150, (i) => `alone ${i}`) });
  await peer.connect(node.address);
  await equal(peer);
  const ping = await shown("alone 0");
  assert.equal(ping.via, "catch-up");
  assert.equal(ping.author, peer.id.toString());
  await come("the node says that both hold the same", async () =>
    (await node.get("/sync")).peers.some((p) => p.peer_id === peer.id.toString() && p.agreed && !p.error));
  const session = await come("a session of several turns ends", () => peer.answered.find((s) => s.turns > 1));
  assert.equal(session.sent, 150);
  assert.ok(session.added.length > 0 && session.added.length <= missing, `${session.added.length} of ${missing} were added`);
});

test("catch-up begun by both at once", async () => {
  for (const lower of [true, false]) {
    const text = `of the ${lower ? "lower" : "higher"} ID`;
    const privateKey = await keyWithID((id) => (Buffer.compare(id, idBytes(node)) < 0) === lower);
    const peer = await start({ protocols, privateKey });
    const { id } = await peer.publish(text);
    await peer.catchUp(await peer.connect(node.address));
    await equal(peer);
    assert.equal((await shown(text)).id, `${id}-0`);
    await leave(peer);
  }
});

test("receipts, asked for and given", async () => {
  const peer = await start({ protocols });
  const id = await join(peer);
  const entry = await peer.publish("stored?");
  assert.equal(await peer.receipt(id, entry, 20_000), true);
  const other = await sign(await generateKeyPairFromSeed("Ed25519", Buffer.alloc(32, 8)), "p2ping", Buffer.alloc(8), Buffer.from("0a050a01611001", "hex"));
  assert.equal(await peer.receipt(id, other, 1), false);

  const answer = await fetch(`${node.url}/ping?text=receipt&wait=1&timeout=20s`);
  assert.equal(answer.status, 200);
  const { receipts } = await answer.json();
  assert.deepEqual(receipts.map((r) => r.peer_id), [peer.id.toString()]);
});

test("status, asked for and given", async () => {
  const peer = await start({ protocols, listen: [loopback] });
  const id = await join(peer);
  await equal(peer);
  await come("the node sees nobody else", async () => (await node.get("/peers")).peers.length === 1);
  const held = await node.get("/sync");
  const status = await peer.statusOf(id);
  assert.deepEqual([status.entries, status.pings, status.topicPeers], [held.entries, held.pings, 1]);
  assert.match(status.agent, /^p2ping\//);
  assert.ok(status.peers[0].id.equals(peer.id));
  assert.equal(status.peers[0].silent, false);

  const map = await node.get("/map");
  const drawn = map.nodes.find((n) => n.peer_id === peer.id.toString());
  assert.deepEqual([drawn.state, drawn.agent, drawn.entries, drawn.pings, drawn.topic_peers], ["answered", agent, held.entries, held.pings, 1]);
  assert.deepEqual(map.edges[0].claimed_by.toSorted(), [node.id, peer.id.toString()].toSorted());
});

test("two nodes that know the peer alone find each other through it", async () => {
  const peer = await start({ protocols, listen: [loopback] });
  const one = await new Node("one", "--bootstrap", peer.address).start();
  const two = await new Node("two", "--bootstrap", peer.address).start();
  await come("they meet", async () => (await one.get("/peers")).peers.some((p) => p.peer_id === two.id));

  const first = peer.members().find((m) => m.toString() === one.id);
  const { peers: told } = await come("one tells of the other", async () => {
    const answer = await peer.peersOf(first);
    return answer.peers.length > 0 && answer;
  });
  assert.deepEqual(told.map((p) => p.id.toString()), [two.id]);
  assert.ok(told[0].addresses.some((a) => two.address.startsWith(a.toString())), `${two.address} is not among ${told[0].addresses}`);

  await peer.publish("to both");
  await shown("to both", one);
  await shown("to both", two);
});
