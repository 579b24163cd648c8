// Bytes as the protocol has them: varints, and protobuf's fields, read with
// bounds. Every reader throws BadBytes for what it refuses.

import { Buffer } from "node:buffer";

export class BadBytes extends Error {}

export function need(holds, what) {
  if (!holds) throw new BadBytes(what);
}

// varint writes a number or bigint from 0 to 2^64 - 1.
export function varint(n) {
  let rest = BigInt(n);
  const out = [];
  for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  out.push(Number(rest));
  return Buffer.from(out);
}

// signed writes a zigzag varint, protobuf's sint64.
export const signed = (n) => varint(BigInt(n) < 0n ? -2n * BigInt(n) - 1n : 2n * BigInt(n));

// prefixed writes bytes after their length.
export const prefixed = (bytes) => Buffer.concat([varint(bytes.length), bytes]);

// field writes a protobuf field: bytes, text, or a number.
export function field(number, value) {
  if (typeof value === "number" || typeof value === "bigint") return Buffer.concat([varint(number << 3), varint(value)]);
  return Buffer.concat([varint((number << 3) | 2), prefixed(Buffer.from(value))]);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// text decodes UTF-8 and refuses what is none.
export function text(bytes) {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new BadBytes("no valid UTF-8");
  }
}

// Reader reads bytes from the front.
export class Reader {
  constructor(bytes) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }

  get left() {
    return this.bytes.length - this.at;
  }

  take(n) {
    need(n <= this.left, `${n} bytes wanted, ${this.left} left`);
    return this.bytes.subarray(this.at, (this.at += n));
  }

  byte() {
    return this.take(1)[0];
  }

  // varint reads a bigint of at most ten bytes and 64 bits.
  varint() {
    let n = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.byte();
      n |= BigInt(byte & 127) << shift;
      if (byte < 128) {
        need(n < 1n << 64n, "a varint of more than 64 bits");
        return n;
      }
    }
    throw new BadBytes("a varint of more than 10 bytes");
  }

  // number reads a varint that is at most so much.
  number(most) {
    const n = this.varint();
    need(n <= BigInt(most), `${n} is more than ${most}`);
    return Number(n);
  }

  // signed reads a zigzag varint.
  signed() {
    return unzigzag(this.varint());
  }

  prefixed(most) {
    return this.take(this.number(most));
  }

  end() {
    need(this.left === 0, `${this.left} bytes too many`);
  }
}

export const unzigzag = (n) => (n & 1n ? -(n + 1n) / 2n : n / 2n);

// fields yields a protobuf message's fields: bigints of varints, bytes of what has
// a length, null for fixed numbers, which nothing here is written as.
export function* fields(bytes) {
  const from = new Reader(bytes);
  while (from.left > 0) {
    const tag = from.number(2 ** 32 - 1);
    const number = Math.floor(tag / 8);
    need(number > 0, "field number 0");
    switch (tag % 8) {
      case 0:
        yield { number, value: from.varint() };
        break;
      case 1:
        from.take(8);
        yield { number, value: null };
        break;
      case 2:
        yield { number, value: from.prefixed(from.left) };
        break;
      case 5:
        from.take(4);
        yield { number, value: null };
        break;
      default:
        throw new BadBytes(`wire type ${tag % 8}`);
    }
  }
}
