// What the drawing and the table of the network are made of: what this node
// knows itself, and what the map says of others. Pure.

import { count, plural, short } from "./format.js";

export const keyOf = (a, b) => (a < b ? `${a} ${b}` : `${b} ${a}`);

// stateWords says what is wrong with a node that has not answered.
export const stateWords = { silent: "answers nobody", unreached: "did not answer", unasked: "not asked" };

const mostTold = 64; // peers that a node tells of

// graph makes nodes and edges: {nodes: Map of id -> {id, kind, onTopic, agent,
// state}, edges: [{key, from, to, mesh, rtt, claimed, by}]}. This node comes
// first. claimed is the number of ends that tell of the edge, and by who they
// are; 0 and none where this node is one of them.
export function graph(self, peers, map) {
  const nodes = new Map();
  const edges = new Map();
  if (!self) return { nodes, edges: [] };
  nodes.set(self, { id: self, kind: "self", onTopic: true });
  for (const p of peers) {
    nodes.set(p.peer_id, { id: p.peer_id, kind: "peer", onTopic: p.on_topic, agent: p.agent });
    const key = keyOf(self, p.peer_id);
    edges.set(key, { key, from: self, to: p.peer_id, mesh: p.in_mesh, rtt: p.rtt_ms, claimed: 0, by: [] });
  }
  for (const n of map?.nodes ?? []) {
    const known = nodes.get(n.peer_id);
    if (!known) nodes.set(n.peer_id, { id: n.peer_id, kind: "far", onTopic: true, agent: n.agent, state: n.state });
    else if (known.kind === "peer" && known.onTopic) known.state = n.state;
  }
  for (const e of map?.edges ?? []) {
    const key = keyOf(e.from, e.to);
    if (edges.has(key) || e.from === e.to || !nodes.has(e.from) || !nodes.has(e.to)) continue;
    const by = [...new Set(e.claimed_by ?? [])];
    edges.set(key, { key, from: e.from, to: e.to, mesh: e.in_mesh, rtt: e.rtt_ms, claimed: by.length, by });
  }
  return { nodes, edges: [...edges.values()] };
}

// tellers says who tells of an edge.
export function tellers({ claimed, by }) {
  if (claimed === 0) return "seen by this node itself";
  return claimed === 1 ? `claimed by ${short(by[0])} alone` : "claimed by both ends";
}

// beyond returns the nodes of a map that this node is not connected to.
export function beyond(self, peers, map) {
  const near = new Set([self, ...peers.map((p) => p.peer_id)]);
  return (map?.nodes ?? []).filter((n) => !near.has(n.peer_id));
}

// missing says why a map is not complete.
export function missing(map) {
  const states = { silent: 0, unreached: 0, unasked: 0 };
  let hiding = 0;
  for (const n of map.nodes) {
    if (n.state in states) states[n.state]++;
    if (n.topic_peers > mostTold) hiding++;
  }
  const lost = states.unasked - map.left;
  return [
    states.silent > 0 && `${plural(states.silent, "node answers", "nodes answer")} nobody`,
    states.unreached > 0 && `${plural(states.unreached, "node")} did not answer`,
    lost > 0 && `of ${count(lost)} nobody tells where ${lost === 1 ? "it is" : "they are"}`,
    map.left > 0 && `${plural(map.left, "node was", "nodes were")} left unasked`,
    map.undrawn > 0 && `the map has no room for ${count(map.undrawn)} more`,
    hiding > 0 && `${plural(hiding, "node has", "nodes have")} more peers than told`,
    map.ended_early && "time ran out",
  ].filter(Boolean);
}
