// The tutorial's node, as small as it can be: HTTP in, WebSocket on. It passes
// on to every other connection what comes in by one, and holds nothing.
"use strict";

const http = require("node:http");
const express = require("express");
const { WebSocket, WebSocketServer } = require("ws");

const [host, port] = (process.env.API || "127.0.0.1:0").split(":");
const peers = new Set();
let received = 0;

function send(text, except) {
  for (const peer of peers) if (peer !== except && peer.readyState === WebSocket.OPEN) peer.send(text);
}

function add(peer) {
  peers.add(peer);
  peer.on("message", (data) => {
    received++;
    send(data.toString(), peer);
  });
  peer.on("close", () => peers.delete(peer));
  peer.on("error", () => peers.delete(peer));
}

const app = express();
app.get("/livez", (_, res) => res.send("ok\n"));
app.get("/count", (_, res) => res.json(received));
app.get("/ping", (req, res) => {
  send(req.query.text || "I'm alive");
  res.send("sent\n");
});

function ready() {
  console.log(JSON.stringify({ api: `${host}:${api.address().port}`, addr: `ws://127.0.0.1:${p2p.address().port}` }));
}

const p2p = new WebSocketServer({ host: "127.0.0.1", port: 0 });
p2p.on("connection", add);
const api = http.createServer(app);
api.listen(Number(port), host, () => {
  if (!process.env.PEER) return ready();
  const peer = new WebSocket(process.env.PEER);
  peer.on("open", () => {
    add(peer);
    ready();
  });
});

process.stdin.resume();
process.stdin.on("end", () => process.exit(0)); // with the benchmark
