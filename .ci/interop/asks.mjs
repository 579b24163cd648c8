// What peers ask each other, a stream for each question: "Receipts", "Status" and
// "Peers" of PROTOCOL.md.

import { Buffer } from "node:buffer";
import { byteStream } from "@libp2p/utils";
import { peerIdFromMultihash } from "@libp2p/peer-id";
import { multiaddr } from "@multiformats/multiaddr";
import * as Digest from "multiformats/hashes/digest";
import { Reader, field, fields, need, text } from "./bytes.mjs";
import { topicTag } from "./catchup.mjs";

export const receiptProtocol = "/p2ping/receipt/1.0.0";
export const statusProtocol = "/p2ping/status/1.0.0";
export const peersProtocol = "/p2ping/peers/1.0.0";

const soon = () => ({ signal: AbortSignal.timeout(30_000) });

// ask sends a question and reads all of the answer, of at most so many bytes.
async function ask(stream, question, most) {
  const bytes = byteStream(stream, { maxBufferSize: most + 1 });
  await bytes.write(question, soon());
  await stream.close(soon());
  return readAll(bytes, most);
}

async function readAll(bytes, most) {
  const all = [];
  for (let size = 0; ; ) {
    const chunk = await bytes.read(soon());
    if (chunk === null) return Buffer.concat(all);
    size += chunk.byteLength;
    need(size <= most, `an answer of more than ${most} bytes`);
    all.push(chunk.subarray());
  }
}

// question reads one of so many bytes, and gives a function that answers it.
async function question(stream, length) {
  const bytes = byteStream(stream);
  const asked = (await bytes.read({ bytes: length, ...soon() })).subarray();
  const answer = async (reply) => {
    if (reply.length > 0) await bytes.write(reply, soon());
    await stream.close(soon());
  };
  return { asked: new Reader(asked), answer };
}

// askReceipt asks whether the other has stored an entry, and waits so many milliseconds.
export async function askReceipt(stream, entry, wait) {
  const most = Buffer.alloc(4);
  most.writeUInt32BE(wait);
  const answer = await ask(stream, Buffer.concat([Buffer.from(entry.key, "hex"), most]), 1);
  need(answer.length === 1 && answer[0] <= 1, "no receipt");
  return answer[0] === 1;
}

// answerReceipt answers once the ledger holds the entry. catchUp fetches what it
// still lacks after a second.
export async function answerReceipt(stream, ledger, catchUp) {
  const { asked, answer } = await question(stream, 44);
  const id = asked.take(40).subarray(8).toString("hex");
  const wait = Math.min(asked.take(4).readUInt32BE(), 60_000);
  const timer = setTimeout(catchUp, 1000);
  const stored = await ledger.until(`entry ${id}`, () => ledger.held.has(id), wait).catch(() => false);
  clearTimeout(timer);
  await answer(Buffer.from([stored ? 1 : 0]));
}

// askStatus asks what another holds and whom it sees.
export async function askStatus(stream, topic) {
  const bytes = await ask(stream, topicTag(topic), 24_576);
  const status = { agent: "", entries: 0, pings: 0, topicPeers: 0, peers: [] };
  for (const { number, value } of fields(bytes)) {
    if (number === 1) status.agent = text(value);
    if (number === 2) status.entries = Number(value);
    if (number === 3) status.pings = Number(value);
    if (number === 4) status.topicPeers = Number(value);
    if (number === 5) status.peers.push(statusPeer(value));
  }
  return status;
}

function statusPeer(bytes) {
  const peer = { id: undefined, inMesh: false, rtt: 0, addresses: [], silent: false };
  for (const { number, value } of fields(bytes)) {
    if (number === 1) peer.id = peerIdOf(value);
    if (number === 2) peer.inMesh = value === 1n;
    if (number === 3) peer.rtt = Number(value);
    if (number === 4) peer.addresses.push(multiaddr(value));
    if (number === 5) peer.silent = value === 1n;
  }
  return peer;
}

// answerStatus tells it, {agent, entries, pings, topicPeers, peers}; of each peer
// {id, inMesh, silent, addresses}.
export async function answerStatus(stream, topic, status) {
  const { asked, answer } = await question(stream, 4);
  need(asked.take(4).equals(topicTag(topic)), "another topic");
  const peers = status.peers.map((p) => field(5, Buffer.concat([
    field(1, p.id.toMultihash().bytes), field(2, Number(p.inMesh)),
    ...p.addresses.map((a) => field(4, a.bytes)), field(5, Number(p.silent)),
  ])));
  await answer(Buffer.concat([
    field(1, status.agent), field(2, status.entries), field(3, status.pings), field(4, status.topicPeers), ...peers,
  ]));
}

// askPeers asks a member for others. They come as {id, addresses}.
export async function askPeers(stream, topic, instance, most) {
  const bytes = await ask(stream, Buffer.concat([topicTag(topic), instance, Buffer.from([most])]), 9728);
  const found = { peers: [], twin: false };
  for (const { number, value } of fields(bytes)) {
    if (number === 1) found.peers.push(peerRecord(value));
    if (number === 2) found.twin = value === 1n;
  }
  need(found.peers.length <= most, "more peers than asked for");
  return found;
}

function peerRecord(bytes) {
  const peer = { id: undefined, addresses: [] };
  for (const { number, value } of fields(bytes)) {
    if (number === 1) peer.id = peerIdOf(value);
    if (number === 2) peer.addresses.push(multiaddr(value));
  }
  return peer;
}

// answerPeers tells of so many of those that choose(most) gives.
export async function answerPeers(stream, topic, choose) {
  const { asked, answer } = await question(stream, 13);
  need(asked.take(4).equals(topicTag(topic)), "another topic");
  asked.take(8); // who remembers it can tell of twins
  const chosen = await choose(Math.min(asked.byte(), 16));
  await answer(Buffer.concat(chosen.map((p) => field(1, Buffer.concat([
    field(1, p.id.toMultihash().bytes), ...p.addresses.map((a) => field(2, a.bytes)),
  ])))));
}

const peerIdOf = (bytes) => peerIdFromMultihash(Digest.decode(bytes));
