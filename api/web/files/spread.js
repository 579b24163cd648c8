// Places for the nodes of a network that is nearly a tree, but has a ring in
// it: such that distances in the plane are like distances by links, which opens
// rings (classical multidimensional scaling). Pure.

const rounds = 60; // of power iteration; a rough place is enough to begin with

// spread returns a place {x, y} for each node, in the order of ids, the first
// one at 0,0. links maps an ID to its neighbours'; all hang together. A link is
// about as long as length.
export function spread(ids, links, length) {
  const hops = ids.map((id) => from(id, ids, links));
  const products = centred(hops);
  const axes = [];
  for (const phase of [1, 2]) axes.push(axis(products, axes, phase));
  return ids.map((_, i) => ({ x: length * (axes[0][i] - axes[0][0]), y: length * (axes[1][i] - axes[1][0]) }));
}

// from returns how many links each node is away from one.
function from(start, ids, links) {
  const away = new Map([[start, 0]]);
  for (const [id, d] of away) { // which grows meanwhile
    for (const next of links.get(id)) if (!away.has(next)) away.set(next, d + 1);
  }
  return ids.map((id) => away.get(id));
}

// centred turns distances into the products of places around their middle.
function centred(hops) {
  const n = hops.length;
  const squares = hops.map((row) => row.map((d) => d * d));
  const means = squares.map((row) => row.reduce((a, b) => a + b, 0) / n);
  const mean = means.reduce((a, b) => a + b, 0) / n;
  return squares.map((row, i) => row.map((s, j) => (means[i] + means[j] - s - mean) / 2));
}

// axis finds the direction in which the products reach furthest, square to
// those found before, and returns each node's coordinate along it.
function axis(products, before, phase) {
  let v = products.map((_, i) => Math.sin(1 + phase * i));
  let size = 0;
  for (let round = 0; round < rounds; round++) {
    v = products.map((row) => dot(row, v));
    for (const b of before) {
      const part = dot(b, v) / (dot(b, b) || 1);
      v = v.map((x, i) => x - part * b[i]);
    }
    size = Math.sqrt(dot(v, v));
    if (size < 1e-9) return v.fill(0); // all in one line
    v = v.map((x) => x / size);
  }
  return v.map((x) => x * Math.sqrt(size));
}

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
