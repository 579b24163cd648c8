// A small force layout: nodes push each other apart, edges pull like springs,
// the first node stays in the middle. Pure; all pairs are computed, which is
// good for some hundreds of nodes.

import { spread } from "./spread.js";

export const most = 300;

// Layout places nodes {id, x, y, vx, vy} around 0,0.
export class Layout {
  nodes = [];
  #byID = new Map();
  #edges = [];
  #pull = 1; // how hard nodes are pulled to the middle
  heat = 0; // from 1 down to 0: how much things still move

  get(id) {
    return this.#byID.get(id);
  }

  // set takes what there is: ids, the first of them the centre, and edges
  // {from, to}. Nodes that were there keep their places.
  set(ids, edges) {
    const before = this.#byID;
    const drawnIDs = ids.slice(0, most);
    const links = linksOf(drawnIDs, edges);
    const ringed = hasRings(links);
    this.#pull = ringed ? ringPull : 1;
    const opened = ringed && mostlyNew(drawnIDs, before) ? openRings(drawnIDs, links, before) : null;
    const places = opened ?? unfold(drawnIDs, edges, before);
    this.nodes = drawnIDs.map((id) => (!opened && before.get(id)) || { id, vx: 0, vy: 0, ...places.get(id) });
    this.#byID = new Map(this.nodes.map((node) => [node.id, node]));
    const drawn = edges
      .map(({ from, to }) => ({ a: this.#byID.get(from), b: this.#byID.get(to) }))
      .filter(({ a, b }) => a && b && a !== b);
    const changed = this.nodes.some(({ id }) => !before.has(id)) || this.nodes.length !== before.size || drawn.length !== this.#edges.length;
    // Nodes that came to rest in a line would stay in it, whatever pulls along it.
    if (drawn.length > this.#edges.length) for (const [i, n] of this.nodes.entries()) nudge(n, i);
    this.#edges = drawn;
    if (changed) this.heat = 1;
  }

  // step moves everything a little and returns whether it should be called again.
  step() {
    if (this.heat < 0.005) return false;
    const { nodes, heat } = this;
    for (let i = 0; i < nodes.length; i++) {
      for (let j = i + 1; j < nodes.length; j++) repel(nodes[i], nodes[j], heat);
    }
    for (const { a, b } of this.#edges) attract(a, b, heat);
    const middle = { x: mean(nodes, (n) => n.x), y: mean(nodes, (n) => n.y) };
    nodes.forEach((n, i) => {
      if (i === 0) {
        n.x = n.y = n.vx = n.vy = 0;
        return;
      }
      // A pull to the middle keeps parts that hang together with nothing in sight.
      n.vx -= (n.x - middle.x) * 0.012 * this.#pull * heat;
      n.vy -= (n.y - middle.y) * 0.02 * this.#pull * heat; // wider than high
      n.vx *= 0.6;
      n.vy *= 0.6;
      n.x += n.vx;
      n.y += n.vy;
    });
    this.heat *= 0.985;
    return true;
  }
}

const length = 130; // of an edge at rest
const push = 5200;
const close = 75; // nearer than that, nodes would overlap

function repel(a, b, heat) {
  let dx = b.x - a.x, dy = b.y - a.y;
  if (dx === 0 && dy === 0) [dx, dy] = [0.1, 0.07];
  const d2 = Math.max(dx * dx + dy * dy, 100);
  if (d2 > 360_000) return;
  const d = Math.sqrt(d2);
  const f = (push / (d2 * d) + (d < close ? (0.25 * (close - d)) / d : 0)) * heat;
  a.vx -= dx * f; a.vy -= dy * f;
  b.vx += dx * f; b.vy += dy * f;
}

function attract(a, b, heat) {
  const dx = b.x - a.x, dy = b.y - a.y;
  const d = Math.hypot(dx, dy) || 1;
  const f = ((d - length) / d) * 0.08 * heat;
  a.vx += dx * f; a.vy += dy * f;
  b.vx -= dx * f; b.vy -= dy * f;
}

function nudge(n, i) {
  n.x += 12 * Math.cos(i * golden);
  n.y += 12 * Math.sin(i * golden);
}

const ringPull = 0.05; // a ring that is pulled harder to its middle buckles

const mean = (nodes, value) => nodes.reduce((sum, n) => sum + value(n), 0) / nodes.length;

// linksOf maps every node to its neighbours.
function linksOf(ids, edges) {
  const links = new Map(ids.map((id) => [id, new Set()]));
  for (const { from, to } of edges) {
    if (from === to || !links.has(from) || !links.has(to)) continue;
    links.get(from).add(to);
    links.get(to).add(from);
  }
  return links;
}

// hasRings tells whether a network is a tree but for a few links that close
// rings. In one with more of them there is nothing to open.
function hasRings(links) {
  if (links.size === 0) return false;
  const ends = [...links.values()].reduce((sum, of) => sum + of.size, 0);
  const rings = ends / 2 - links.size + 1;
  if (rings < 1 || rings > Math.max(1, links.size / 8)) return false;
  const met = new Set([links.keys().next().value]);
  for (const id of met) for (const next of links.get(id)) met.add(next); // which grows meanwhile
  return met.size === links.size;
}

const mostlyNew = (ids, placed) => ids.filter((id) => placed.has(id)).length * 2 <= ids.length;

// openRings returns a place for every node, turned so that the first one that
// had a place stays in its direction.
function openRings(ids, links, placed) {
  const places = spread(ids, links, length);
  const kept = ids.findIndex((id, i) => i > 0 && placed.has(id));
  const turn = kept < 0 ? 0 : angle(placed.get(ids[kept])) - angle(places[kept]);
  return new Map(places.map((at, i) => [ids[i], turned(at, turn)]));
}

const angle = ({ x, y }) => Math.atan2(y, x);
const turned = ({ x, y }, by) => ({ x: x * Math.cos(by) - y * Math.sin(by), y: x * Math.sin(by) + y * Math.cos(by) });

// unfold returns a place for every node: those that have one keep it, others
// are put where few edges cross. The network is taken as a tree that grows from
// the centre; each node has a wedge of the plane, as wide as it has leaves, and
// shares it among its children, a ring further out.
function unfold(ids, edges, placed) {
  const nodes = tree(ids, edges);
  for (const n of nodes.toReversed()) if (n.parent) n.parent.leaves += Math.max(n.leaves, 1);
  for (const n of nodes) {
    const at = placed.get(n.id);
    if (n.parent) {
      const { parent } = n;
      n.width = (parent.width * Math.max(n.leaves, 1)) / parent.leaves;
      n.angle = parent.next + n.width / 2;
      parent.next += n.width;
    }
    n.x = at ? at.x : n.ring * length * Math.cos(n.angle);
    n.y = at ? at.y : n.ring * length * Math.sin(n.angle);
    if (at && n.ring > 0) n.angle = Math.atan2(n.y, n.x);
    n.next = n.angle - n.width / 2 + tilt;
  }
  return new Map(nodes.map(({ id, x, y }) => [id, { x, y }]));
}

// tree returns the nodes in the order in which they are come upon from the
// first. Those that nothing leads to are roots as well, on a sunflower's spiral.
function tree(ids, edges) {
  const neighbours = new Map(ids.map((id) => [id, []]));
  for (const { from, to } of edges) {
    neighbours.get(from)?.push(to);
    neighbours.get(to)?.push(from);
  }
  const seen = new Map();
  const grow = (id, parent, ring, angle) => seen.set(id, { id, parent, ring, angle, width: ring === 0 ? 2 * Math.PI : 1, leaves: 0 });
  ids.forEach((root, i) => {
    if (seen.has(root)) return;
    grow(root, undefined, i === 0 ? 0 : 2, i * golden);
    for (const n of seen.values()) { // which grows meanwhile
      for (const id of neighbours.get(n.id)) if (neighbours.has(id) && !seen.has(id)) grow(id, n, n.ring + 1, 0);
    }
  });
  return [...seen.values()];
}

const golden = 2.399963; // the angle that a spiral turns by
const tilt = 0.15; // what is pushed along a straight line stays in it

// bounds returns the box around all nodes, with room for their labels.
export function bounds(nodes, margin) {
  let left = -margin, right = margin, top = -margin, bottom = margin;
  for (const n of nodes) {
    left = Math.min(left, n.x - margin);
    right = Math.max(right, n.x + margin);
    top = Math.min(top, n.y - margin);
    bottom = Math.max(bottom, n.y + margin);
  }
  return { x: left, y: top, width: right - left, height: bottom - top };
}
