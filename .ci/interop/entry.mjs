// Entries and pings: "The entry" and "The data" of PROTOCOL.md.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { publicKeyFromRaw } from "@libp2p/crypto/keys";
import { peerIdFromPublicKey } from "@libp2p/peer-id";
import { field, fields, need, text, unzigzag } from "./bytes.mjs";

const lastTime = 253_402_300_799_999_999n; // the end of the year 9999, in microseconds
const keyPrefix = Buffer.from("002408011220", "hex"); // what an Ed25519 peer ID has before the key

export const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();

// encodeData writes pings, {text, sentAt}: Unix times in microseconds, bigints.
export function encodeData(pings) {
  const data = Buffer.concat(pings.map((p) => field(1, Buffer.concat([field(1, p.text), field(2, p.sentAt)]))));
  decodeData(data);
  return data;
}

// decodeData reads pings, {text, sentAt}.
export function decodeData(data) {
  need(data.length <= 65_536, "too much data");
  const pings = [];
  for (const { number, value } of fields(data)) {
    if (number !== 1) continue;
    need(value instanceof Uint8Array, "a ping of another wire type");
    need(pings.length < 1000, "more than 1,000 pings");
    pings.push(decodePing(value, pings.at(-1)));
  }
  need(pings.length > 0, "no ping");
  return pings;
}

function decodePing(bytes, before) {
  const seen = [];
  for (const { number, value } of fields(bytes)) {
    if (number > 3) continue;
    need(seen[number] === undefined, `field ${number} twice`);
    need(number === 1 ? value instanceof Uint8Array : typeof value === "bigint", `field ${number} of another wire type`);
    seen[number] = value;
  }
  const [, raw, at, after] = seen;
  need(raw?.length >= 1 && raw.length <= 4096, "no text, or more than 4,096 bytes of it");
  need(at === undefined || after === undefined, "sent_at and after in one ping");
  need(at !== undefined || before, "a first ping without sent_at");
  const sentAt = at ?? before.sentAt + unzigzag(after ?? 0n);
  need(sentAt >= 0n && sentAt <= lastTime, "a time outside of the years 1970 to 9999");
  return { text: text(raw), sentAt };
}

// Entry is one signed message, valid but for its signature. What names it comes
// with it: id, and key, as hex digits, so that keys sort as strings do.
export class Entry {
  constructor({ from, data, seqno, topic, signature }) {
    need(from.length === 38 && keyPrefix.equals(from.subarray(0, 6)), "the author is no Ed25519 peer ID");
    need(seqno.length === 8, "a sequence number of another length");
    need(topic.length >= 1 && topic.length <= 256, "no topic, or more than 256 bytes of it");
    need(signature.length === 64, "a signature of another length");
    this.topic = text(topic);
    this.pings = decodeData(data);
    this.publicKey = publicKeyFromRaw(from.subarray(6));
    this.author = peerIdFromPublicKey(this.publicKey).toString();
    this.signed = signedBytes({ from, data, seqno, topic });
    this.signature = signature;
    this.bytes = Buffer.concat([this.signed.subarray(signPrefix.length), field(5, signature)]);
    this.time = Number(this.pings[0].sentAt / 1000n);
    this.id = sha256(this.signed).toString("hex");
    this.key = keyAt(this.time) + this.id;
  }

  async verify() {
    need(await this.publicKey.verify(this.signed, this.signature), `entry ${this.id} is not signed by ${this.author}`);
    return this;
  }
}

export const signPrefix = Buffer.from("libp2p-pubsub:");

export const signedBytes = ({ from, data, seqno, topic }) =>
  Buffer.concat([signPrefix, field(1, from), field(2, data), field(3, seqno), field(4, topic)]);

// keyAt is the beginning of keys at a time in milliseconds, and sorts before them all.
export const keyAt = (time) => time.toString(16).padStart(16, "0");

function seqnoOf({ sequenceNumber }) {
  const seqno = Buffer.alloc(8);
  seqno.writeBigUInt64BE(sequenceNumber);
  return seqno;
}

const fromOf = ({ from }) => Buffer.from(from.toMultihash().bytes);

// messageID is what peers call a message when they say what they have (IHAVE).
// js-libp2p's own has the author's key in another form, which no other peer knows.
export const messageID = (message) => Buffer.concat([fromOf(message), seqnoOf(message)]);

// fromGossip makes an entry of a message that js-libp2p has verified.
export function fromGossip(message) {
  const { data, topic, signature } = message;
  return new Entry({ from: fromOf(message), data, seqno: seqnoOf(message), topic: Buffer.from(topic), signature });
}

// fromBytes reads a canonical encoding and verifies it.
export async function fromBytes(bytes) {
  need(bytes.length <= 66_560, "an entry of more than 66,560 bytes");
  const parts = [];
  for (const { number, value } of fields(bytes)) {
    need(number === parts.length + 1 && number <= 5 && value instanceof Uint8Array, `field ${number} out of place`);
    parts.push(value);
  }
  need(parts.length === 5, "a field is missing");
  const [from, data, seqno, topic, signature] = parts;
  const entry = new Entry({ from, data, seqno, topic, signature });
  need(entry.bytes.equals(bytes), "not the canonical encoding");
  return entry.verify();
}

// sign makes an entry by hand, as GossipSub does by itself.
export async function sign(privateKey, topic, seqno, data) {
  const message = { from: Buffer.concat([keyPrefix, privateKey.publicKey.raw]), data, seqno, topic: Buffer.from(topic) };
  return new Entry({ ...message, signature: Buffer.from(await privateKey.sign(signedBytes(message))) });
}
