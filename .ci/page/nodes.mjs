// Real p2ping processes for the tests, on loopback and free ports.

import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

export const root = path.resolve(import.meta.dirname, "../..");

// patience is how long a test waits for what must come, in milliseconds. It is no
// measure of speed: only a failure takes as long.
export const patience = 40_000;

// until waits for look() to be truthy and returns what it gave. It fails when
// patience ends, with what it saw last.
export async function until(what, look) {
  const deadline = Date.now() + patience;
  let last;
  for (;;) {
    try {
      last = await look();
      if (last) return last;
    } catch (err) {
      last = err;
    }
    if (Date.now() > deadline) throw new Error(`${what}: not within ${patience} ms; last seen: ${last instanceof Error ? last.message : JSON.stringify(last)}`);
    await new Promise((done) => { setTimeout(done, 25); });
  }
}

// The program is there before the clock of any test runs, or of a browser that
// starts meanwhile.
const binary = process.env.P2PING_BIN || build();
const scratch = mkdtempSync(path.join(tmpdir(), "p2ping-page-"));
const running = new Set();

// build puts it where the next file of tests finds it, and need not link it again.
function build() {
  const at = path.join(import.meta.dirname, "node_modules", ".cache", "p2ping");
  execFileSync("go", ["build", "-o", at, "./cmd/p2ping"], { cwd: root, stdio: "inherit" });
  return at;
}

// freePort finds a port below those that systems give out by themselves, to
// listeners at port 0 and to outgoing connections: one of those may be taken while
// a node that is to come back to it is down. Browsers refuse 10080.
async function freePort() {
  for (;;) {
    const port = 10_081 + Math.floor(Math.random() * 21_919);
    const server = createServer();
    const free = await new Promise((done) => {
      server.once("error", () => done(false));
      server.listen(port, "127.0.0.1", () => server.close(() => done(true)));
    });
    if (free) return port;
  }
}

// Node is one process with a data directory of its own.
export class Node {
  constructor(name, ...flags) {
    this.name = name;
    this.flags = flags;
    this.dir = path.join(scratch, `${name}-${Math.random().toString(36).slice(2)}`);
    this.token = "";
  }

  // start starts it, again on the ports it had before, and waits until it answers.
  async start() {
    this.http ??= await freePort();
    this.listen ??= `/ip4/127.0.0.1/tcp/${await freePort()}`;
    rmSync(path.join(this.dir, "api"), { force: true });
    const args = ["run", "--http-port", this.http, "--p2p-port", 0, "--listen", this.listen, "--data-dir", this.dir, ...this.flags];
    const env = { PATH: process.env.PATH, HOME: scratch };
    this.process = spawn(binary, args.map(String), { env, stdio: ["ignore", "ignore", "pipe"] });
    this.log = "";
    this.process.stderr.on("data", (b) => { this.log = (this.log + b).slice(-20_000); });
    this.ended = new Promise((done) => { this.process.on("exit", done); });
    running.add(this);
    try {
      await until(`${this.name} starts`, async () => {
        if (this.process.exitCode !== null) throw new Error(`it ended with ${this.process.exitCode}`);
        const file = path.join(this.dir, "api");
        if (!existsSync(file)) return false;
        this.url = readFileSync(file, "utf8").trim();
        return (await fetch(`${this.url}/livez`)).ok;
      });
    } catch (err) {
      throw new Error(`${err.message}\n${this.log}`);
    }
    const id = await this.get("/id");
    this.id = id.peer_id;
    this.address = id.addresses.find((a) => a.includes("/tcp/") && !a.includes("/ws"));
    return this;
  }

  async stop(signal = "SIGTERM") {
    if (!running.delete(this)) return;
    this.process.kill(signal);
    await this.ended;
  }

  async get(at) {
    const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    const answer = await fetch(this.url + at, { headers });
    if (!answer.ok) throw new Error(`GET ${at} at ${this.name}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  // curl publishes as the tutorial does.
  curl(text) {
    const args = ["-sS", "--fail-with-body", "--get", `${this.url}/ping`];
    if (text !== undefined) args.push("--data-urlencode", `text=${text}`);
    return JSON.parse(execFileSync("curl", args, { encoding: "utf8" }));
  }

  // publish posts any text.
  async publish(text) {
    const answer = await fetch(`${this.url}/ping`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ text }) });
    if (!answer.ok) throw new Error(`POST /ping at ${this.name}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  // publishMany posts many texts in one request.
  publishMany(texts) {
    const body = texts.map((text) => JSON.stringify({ text }) + "\n").join("");
    const args = ["-sS", "--fail-with-body", "-H", "Content-Type: application/x-ndjson", "--data-binary", "@-", `${this.url}/pings`];
    execFileSync("curl", args, { input: body, stdio: ["pipe", "ignore", "inherit"] });
  }

  // met waits until so many peers are on the topic, and have said who they are.
  met(n) {
    return until(`${this.name} meets ${n} on the topic`, async () => (await this.get("/peers")).peers.filter((p) => p.on_topic && p.agent).length >= n);
  }
}

// line starts n nodes, each knowing the one before.
export async function line(n) {
  const nodes = [];
  for (let i = 0; i < n; i++) {
    const flags = i > 0 ? ["--bootstrap", nodes[i - 1].address] : [];
    nodes.push(await new Node(`node${i + 1}`, ...flags).start());
  }
  for (const [i, node] of nodes.entries()) await node.met(i > 0 && i < n - 1 ? 2 : 1);
  return nodes;
}

export async function stopAll() {
  await Promise.all([...running].map((node) => node.stop()));
  rmSync(scratch, { recursive: true, force: true });
}
