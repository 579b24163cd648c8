// A whole peer of p2ping nodes on js-libp2p, written from node/PROTOCOL.md.
//
//   const peer = await startPeer({ listen: ["/ip4/127.0.0.1/tcp/0"] });
//   await peer.connect("/ip4/127.0.0.1/tcp/6001/p2p/12D3KooW...");
//   await peer.publish("hello from JavaScript");
//   console.log(peer.ledger.entries.flatMap((entry) => entry.pings));
//
// What a ping needs is publish and judge. The rest makes its ledger equal to
// everyone else's (catch-up), and is as optional as the protocol says.

import "./node20.mjs";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { generateKeyPair } from "@libp2p/crypto/keys";
import { gossipsub } from "@libp2p/gossipsub";
import { identify } from "@libp2p/identify";
import { noise } from "@libp2p/noise";
import { ping } from "@libp2p/ping";
import { tcp } from "@libp2p/tcp";
import { webSockets } from "@libp2p/websockets";
import { yamux } from "@libp2p/yamux";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import * as asks from "./asks.mjs";
import { BadBytes } from "./bytes.mjs";
import * as catchup from "./catchup.mjs";
import { encodeData, fromGossip, messageID } from "./entry.mjs";
import { Ledger } from "./ledger.mjs";

export const agent = "p2ping-js-example";

const isLoopback = (address) => /^\/ip4\/127\.|^\/ip6\/::1\//.test(address.toString());
const isPrivate = (address) => /^\/ip4\/(0|10|127|169\.254|172\.(1[6-9]|2\d|3[01])|192\.168)\.|^\/ip6\/(::|f[cde])/.test(address.toString());

// startPeer starts a peer on a topic. Without protocols it speaks GossipSub alone;
// "catchup", "receipt", "status" and "peers" are what it answers beside that. One
// that does not subscribe has no gossip, and can still ask others.
export async function startPeer({ topic = "p2ping", listen = [], privateKey, protocols = [], ledger = new Ledger(topic), subscribe = true } = {}) {
  const libp2p = await createLibp2p({
    privateKey: privateKey ?? (await generateKeyPair("Ed25519")),
    addresses: { listen },
    nodeInfo: { userAgent: agent },
    transports: [tcp(), webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: {
      identify: identify(),
      ping: ping(), // by which nodes measure how near a peer is
      // A ping may be published while nobody is there; catch-up brings it to the
      // others later. emitSelf shows what was signed.
      pubsub: gossipsub({ globalSignaturePolicy: "StrictSign", msgIdFn: messageID, emitSelf: true, allowPublishToZeroTopicPeers: true }),
    },
  });
  const peer = new Peer(libp2p, topic, ledger);
  for (const name of protocols) await peer.answer(name);
  if (subscribe) peer.pubsub.subscribe(topic);
  return peer;
}

export class Peer {
  constructor(libp2p, topic, ledger) {
    this.libp2p = libp2p;
    this.topic = topic;
    this.ledger = ledger;
    this.pubsub = libp2p.services.pubsub;
    this.instance = randomBytes(8);
    this.asking = new Set(); // peers that have not answered this peer's hello yet
    this.open = new Set(); // peers that a session is going on with
    this.answered = []; // how the sessions ended that others began
    this.pubsub.topicValidators.set(topic, (_from, message) => this.judge(message));
  }

  get id() {
    return this.libp2p.peerId;
  }

  get address() {
    return this.libp2p.getMultiaddrs()[0].toString();
  }

  // judge takes a message whose signature GossipSub has checked, and says what is
  // to become of it.
  judge(message) {
    try {
      return this.ledger.add(fromGossip(message)) ? "accept" : "ignore";
    } catch (err) {
      if (err instanceof BadBytes) return "reject";
      throw err;
    }
  }

  // publish sends texts as one entry, which it gives. It has to be subscribed.
  async publish(...texts) {
    const now = BigInt(Date.now()) * 1000n;
    const data = encodeData(texts.map((text, i) => ({ text, sentAt: now + BigInt(i) })));
    let entry;
    const own = ({ detail }) => {
      if (detail.data === data) entry = fromGossip(detail);
    };
    this.pubsub.addEventListener("message", own);
    await this.pubsub.publish(this.topic, data);
    this.pubsub.removeEventListener("message", own);
    this.ledger.add(entry);
    return entry;
  }

  // connect dials a multiaddr and gives the ID of who answered.
  async connect(address) {
    return (await this.libp2p.dial(multiaddr(address), soon())).remotePeer;
  }

  members() {
    return this.pubsub.getSubscribers(this.topic);
  }

  // ask opens a stream, gives it to a function that speaks the protocol, and ends it.
  async ask(id, protocol, speak) {
    return ended(await this.libp2p.dialProtocol(id, protocol, soon()), speak);
  }

  receipt(id, entry, wait = 5000) {
    return this.ask(id, asks.receiptProtocol, (stream) => asks.askReceipt(stream, entry, wait));
  }

  statusOf(id) {
    return this.ask(id, asks.statusProtocol, (stream) => asks.askStatus(stream, this.topic));
  }

  peersOf(id, most = 16) {
    return this.ask(id, asks.peersProtocol, (stream) => asks.askPeers(stream, this.topic, this.instance, most));
  }

  // catchUp has a session with another peer, as soon as that has time, and says how
  // it ended. If it left something, another should follow.
  async catchUp(id) {
    for (;;) {
      const ended = await this.session(id);
      if (ended.busy === undefined) return ended;
      await setTimeout(ended.busy * 1000);
    }
  }

  async session(id) {
    const name = id.toString();
    if (this.asking.has(name) || this.open.has(name)) return { busy: 1 };
    let welcomed = false;
    this.asking.add(name);
    try {
      return await this.ask(id, catchup.protocol, (stream) => catchup.initiate(stream, this.ledger, () => {
        welcomed = true;
        this.asking.delete(name);
        this.open.add(name);
      }));
    } finally {
      this.asking.delete(name);
      if (welcomed) this.open.delete(name);
    }
  }

  // answer makes this peer answer a protocol.
  answer(name) {
    const [protocol, handle] = {
      catchup: [catchup.protocol, (stream, id) => this.answerCatchUp(stream, id)],
      receipt: [asks.receiptProtocol, (stream, id) => asks.answerReceipt(stream, this.ledger, () => this.catchUp(id).catch(() => {}))],
      status: [asks.statusProtocol, async (stream) => asks.answerStatus(stream, this.topic, await this.status())],
      peers: [asks.peersProtocol, (stream, id, from) => asks.answerPeers(stream, this.topic, (most) => this.tell(id, from, most))],
    }[name];
    return this.libp2p.handle(protocol, async (stream, connection) => {
      try {
        await ended(stream, () => handle(stream, connection.remotePeer, connection.remoteAddr));
      } catch (err) {
        this.libp2p.logger.forComponent("p2ping")(`answering ${protocol}: ${err.message}`);
      }
    });
  }

  // answerCatchUp answers a session. Of two that began at once, the one of the
  // higher ID is put off by the other: it has this one instead of its own.
  async answerCatchUp(stream, id) {
    const name = id.toString();
    let agreed = false;
    const busy = () => {
      const lower = Buffer.compare(this.id.toMultihash().bytes, id.toMultihash().bytes) < 0;
      if (this.open.has(name) || (this.asking.has(name) && lower)) return 1;
      agreed = true;
      this.open.add(name);
      return undefined;
    };
    try {
      this.answered.push(await catchup.respond(stream, this.ledger, busy));
    } finally {
      if (agreed) this.open.delete(name);
    }
  }

  async status() {
    const mesh = new Set(this.pubsub.getMeshPeers(this.topic));
    const peers = await Promise.all(this.members().slice(0, 64).map(async (id) => {
      const known = await this.libp2p.peerStore.get(id);
      return { id, inMesh: mesh.has(id.toString()), silent: !known.protocols.includes(asks.statusProtocol), addresses: [] };
    }));
    const pings = this.ledger.entries.reduce((n, e) => n + e.pings.length, 0);
    return { agent, entries: this.ledger.entries.length, pings, topicPeers: this.members().length, peers };
  }

  // tell gives members to one that asks: public addresses to anybody, those of
  // this machine to a peer on it, and no private ones.
  async tell(to, from, most) {
    const told = [];
    for (const id of this.members().filter((m) => !m.equals(to))) {
      const known = await this.libp2p.peerStore.get(id);
      if (!known.protocols.includes(asks.peersProtocol)) continue;
      const addresses = known.addresses.map((a) => a.multiaddr).filter((a) => (isLoopback(a) ? isLoopback(from) : !isPrivate(a)));
      if (addresses.length > 0) told.push({ id, addresses: addresses.slice(0, 8) });
    }
    return told.sort(() => Math.random() - 0.5).slice(0, most);
  }

  stop() {
    return this.libp2p.stop();
  }
}

const soon = () => ({ signal: AbortSignal.timeout(30_000) });

// ended closes a stream when all went well, and resets it when not.
async function ended(stream, speak) {
  try {
    const result = await speak(stream);
    await stream.close(soon());
    return result;
  } catch (err) {
    stream.abort(err);
    throw err;
  }
}
