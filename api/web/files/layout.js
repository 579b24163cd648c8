// A small force layout: nodes push each other apart, edges pull like springs,
// the first node stays in the middle. Pure; all pairs are computed, which is
// good for some hundreds of nodes.

export const most = 300;

// Layout places nodes {id, x, y, vx, vy} around 0,0.
export class Layout {
  nodes = [];
  #byID = new Map();
  #edges = [];
  heat = 0; // from 1 down to 0: how much things still move

  get(id) {
    return this.#byID.get(id);
  }

  // set takes what there is: ids, the first of them the centre, and edges
  // {from, to}. Nodes that were there keep their places.
  set(ids, edges) {
    const before = this.#byID;
    this.#byID = new Map();
    let changed = false;
    this.nodes = ids.slice(0, most).map((id, i) => {
      let node = before.get(id);
      if (!node) {
        changed = true;
        node = { id, vx: 0, vy: 0, ...start(i, ids, edges, this.#byID) };
      }
      this.#byID.set(id, node);
      return node;
    });
    const drawn = edges
      .map(({ from, to }) => ({ a: this.#byID.get(from), b: this.#byID.get(to) }))
      .filter(({ a, b }) => a && b && a !== b);
    changed ||= this.nodes.length !== before.size || drawn.length !== this.#edges.length;
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
    nodes.forEach((n, i) => {
      if (i === 0) {
        n.x = n.y = n.vx = n.vy = 0;
        return;
      }
      // A pull to the middle keeps parts that hang together with nothing in sight.
      n.vx -= n.x * 0.012 * heat;
      n.vy -= n.y * 0.02 * heat; // wider than high
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
  n.x += 12 * Math.cos(i * 2.399963);
  n.y += 12 * Math.sin(i * 2.399963);
}

// start puts a new node near a neighbour that has a place: those of the centre
// evenly around it, others on a sunflower's spiral, so that the picture unfolds
// the same way each time.
function start(i, ids, edges, placed) {
  if (i === 0) return { x: 0, y: 0 };
  const edge = edges.find(({ from, to }) => (from === ids[i] && placed.has(to)) || (to === ids[i] && placed.has(from)));
  const near = edge && (edge.from === ids[i] ? edge.to : edge.from);
  if (near === ids[0]) {
    const angle = Math.PI + (2 * Math.PI * (i - 1)) / (ids.length - 1) + 0.2;
    return { x: length * Math.cos(angle), y: length * Math.sin(angle) };
  }
  const at = placed.get(near) ?? { x: 0, y: 0 };
  return { x: at.x + 90 * Math.cos(i * 2.399963), y: at.y + 70 * Math.sin(i * 2.399963) };
}

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
