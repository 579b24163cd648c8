// Colours and identicons: what tells one peer from another at a glance.

// colours is the number of classes a0.. in style.css: hues far enough apart to
// be told from each other, each with a lightness for either scheme.
export const colours = 12;

// hash mixes a string into 32 bits (FNV-1a, then Murmur3's finish). It is no
// secret and needs no strength: crypto.subtle is missing on plain http.
export function hash(text, seed = 0) {
  let h = (0x811c9dc5 ^ seed) >>> 0;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

// Palette hands out colours: the one that the ID's hash says, or the next one
// free, so that the first dozen of peers never share one.
export class Palette {
  #taken = new Map(); // ID -> colour
  #used = new Array(colours).fill(0);

  colour(id) {
    const known = this.#taken.get(id);
    if (known !== undefined) return known;
    let c = hash(id) % colours;
    // Steps of five visit all twelve, neighbouring hues last.
    for (let i = 0; i < colours && this.#used[c] > Math.min(...this.#used); i++) c = (c + 5) % colours;
    if (this.#taken.size < 4096) { // a flood of made-up authors must not fill memory
      this.#taken.set(id, c);
      this.#used[c]++;
    }
    return c;
  }
}

const svg = "http://www.w3.org/2000/svg";

// element makes an SVG element with attributes.
export function element(name, attributes = {}) {
  const e = document.createElementNS(svg, name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  return e;
}

// cells returns the identicon of an ID: of five by five, mirrored, the path of
// those that are filled, in a square of 5.
export function cells(id) {
  let bits = hash(id, 1);
  if ((bits & 0x7fff) === 0) bits = 0x1e37;
  let path = "";
  for (let i = 0; i < 15; i++) {
    if (!((bits >>> i) & 1)) continue;
    const x = i % 3, y = Math.floor(i / 3);
    path += `M${x} ${y}h1v1h-1z`;
    if (x < 2) path += `M${4 - x} ${y}h1v1h-1z`;
  }
  return path;
}

// identicon makes the picture of a peer. It says nothing to screen readers: the
// ID stands beside it.
export function identicon(id) {
  const picture = element("svg", { viewBox: "-0.5 -0.5 6 6", "aria-hidden": "true", class: "icon" });
  picture.append(element("path", { d: cells(id), "shape-rendering": "crispEdges" }));
  return picture;
}

// digestArt draws a digest in hexadecimal as a square of shades, one a digit:
// two nodes with the same ledger show the same picture.
export function digestArt(digest) {
  const picture = element("svg", { viewBox: "0 0 8 8", "aria-hidden": "true", "shape-rendering": "crispEdges" });
  for (let i = 0; i < Math.min(64, digest.length); i++) {
    const shade = parseInt(digest[i], 16);
    if (!shade) continue;
    picture.append(element("rect", { x: i % 8, y: Math.floor(i / 8), width: 1, height: 1, "fill-opacity": (shade / 15).toFixed(2) }));
  }
  return picture;
}
