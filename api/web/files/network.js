// The drawing of the network: this node, its peers, and what the map knows
// beyond them.

import { element, identicon } from "./author.js";
import { clip, delay, plural, short } from "./format.js";
import { graph, keyOf, missing, stateWords, tellers } from "./graph.js";
import { Layout, bounds, most } from "./layout.js";

const flightTime = 700; // ms that a ping takes along an edge
const crowded = { far: 24, peer: 60 }; // nodes from which on those have no name
const tangled = 16; // edges from which on only this node's own have their rtt written on them
const knotted = 24; // edges from which on none has
const stepTime = 8; // ms that a step of the layout stands for
const mostSteps = 25; // in one frame
const mostFlights = 40; // more at a time would be a blur, and cost frames

// Network draws into an svg element; note is where it says what is not drawn.
export class Network {
  #svg; #note; #palette; #calm;
  #layout = new Layout();
  #nodes = new Map(); // ID -> {box, ...}
  #edges = new Map(); // key -> {line, label, from, to}
  #layers;
  #flights = [];
  #self = "";
  #running = false;
  #size = { width: 600, height: 360, rem: 16 };
  #known = { peers: [], map: null };
  #at; // function from a node's ID to its place in the drawing

  // calm tells whether motion is unwanted.
  constructor({ svg, note, palette, calm }) {
    this.#svg = svg;
    this.#note = note;
    this.#palette = palette;
    this.#calm = calm;
    this.#layers = ["edges", "labels", "flights", "nodes"].map((name) => element("g", { class: name }));
    svg.append(...this.#layers);
    new ResizeObserver(() => this.#resize()).observe(svg);
  }

  // update takes who this node is, its peers, the map (null where there is
  // none), and the set of authors heard of. It returns whether links are drawn
  // that one end alone claims.
  update({ self, peers, map, authors }) {
    this.#self = self;
    this.#known = { peers, map };
    const { nodes, edges } = graph(self, peers, map);
    this.#layout.set([...nodes.keys()], edges);
    sweep(this.#nodes, nodes, (node) => node.box.remove());
    for (const node of this.#layout.nodes) this.#drawNode(nodes.get(node.id));
    const drawn = edges.filter((e) => this.#layout.get(e.from) && this.#layout.get(e.to));
    sweep(this.#edges, new Map(drawn.map((e) => [e.key, e])), (edge) => { edge.line.remove(); edge.label.remove(); });
    for (const edge of drawn) this.#drawEdge(edge, drawn.length < tangled || edge.claimed === 0 && drawn.length < knotted);
    this.#describe(nodes, drawn, authors);
    if (this.#calm()) for (let i = 0; i < 400 && this.#layout.step(); i++);
    this.#run();
    return { claims: drawn.some((e) => e.claimed === 1) };
  }

  // arrived shows how a ping came here.
  arrived(ping) {
    if (ping.self) {
      for (const peer of this.#known.peers) if (peer.on_topic) this.#fly(this.#self, peer.peer_id, ping);
      this.#pulse(this.#self, ping);
      return;
    }
    if (!this.#fly(this.#cameBy(ping), this.#self, ping)) this.#pulse(this.#self, ping);
  }

  // #cameBy returns the neighbour that a ping came from: the one that the node
  // names, or else its author, or the only one there is. "" when it is not known.
  #cameBy(ping) {
    if (ping.from) return ping.from;
    const on = this.#known.peers.filter((p) => p.on_topic);
    if (on.some((p) => p.peer_id === ping.author)) return ping.author;
    return on.length === 1 ? on[0].peer_id : "";
  }

  #fly(from, to, ping) {
    const edge = this.#edges.get(keyOf(from, to));
    if (!edge || this.#flights.length >= mostFlights) return false;
    const colour = `a${this.#palette.colour(ping.author)}`;
    if (this.#calm()) {
      edge.line.classList.add("hot");
      clearTimeout(edge.cooling);
      edge.cooling = setTimeout(() => edge.line.classList.remove("hot"), 900);
      return true;
    }
    const dot = element("circle", { class: `flight ${colour} ${ping.via === "catch-up" ? "late" : ""}`, r: this.#size.rem * 0.4 });
    this.#flights.push({ dot, from, to, ping });
    this.#run();
    return true;
  }

  #pulse(id, ping) {
    const node = this.#nodes.get(id);
    if (!node || this.#calm() || performance.now() - (node.pulsed ?? 0) < 120) return;
    node.pulsed = performance.now();
    const ring = element("circle", { class: `ring a${this.#palette.colour(ping.author)}`, r: node.radius });
    ring.addEventListener("animationend", () => ring.remove());
    node.box.prepend(ring);
  }

  #drawNode(info) {
    let node = this.#nodes.get(info.id);
    if (!node) {
      node = {
        box: element("g"), circle: element("circle"), icon: identicon(info.id),
        label: element("text", { class: "name" }), sub: element("text", { class: "sub" }), title: element("title"),
      };
      node.box.append(node.title, node.circle, node.icon, node.label, node.sub);
      this.#layers[3].append(node.box);
      this.#nodes.set(info.id, node);
    }
    const { rem } = this.#size;
    // Many nodes have to be smaller to be told apart.
    const crowd = Math.min(1, Math.max(0.5, Math.sqrt(9 / this.#layout.nodes.length)));
    node.radius = rem * crowd * { self: 2.1, peer: 1.6, far: 1.2 }[info.kind];
    const side = node.radius * 1.1;
    const mute = stateWords[info.state] ? " mute" : "";
    node.box.setAttribute("class", `node ${info.kind} a${this.#palette.colour(info.id)}${info.onTopic ? "" : " off"}${mute}`);
    node.circle.setAttribute("r", node.radius);
    for (const [name, value] of Object.entries({ x: -side / 2, y: -side / 2, width: side, height: side })) node.icon.setAttribute(name, value);
    const named = !(this.#layout.nodes.length > crowded[info.kind]);
    node.label.textContent = named ? short(info.id) : "";
    node.label.setAttribute("y", node.radius + rem * 1.05);
    node.sub.setAttribute("y", node.radius + rem * 2);
    node.sub.textContent = info.kind === "self" ? "this node" : !named ? "" : !info.onTopic ? "not on the topic" : stateWords[info.state] ?? "";
    node.title.textContent = clip([info.id, info.agent, stateWords[info.state]].filter(Boolean).join("\n"), 200);
  }

  #drawEdge(edge, labelled) {
    let drawn = this.#edges.get(edge.key);
    if (!drawn) {
      drawn = { line: element("line"), title: element("title"), label: element("text", { class: "rtt", "dominant-baseline": "central" }) };
      drawn.line.append(drawn.title);
      this.#layers[0].append(drawn.line);
      this.#layers[1].append(drawn.label);
      this.#edges.set(edge.key, drawn);
    }
    Object.assign(drawn, { from: edge.from, to: edge.to });
    const hot = drawn.line.classList.contains("hot") ? " hot" : "";
    drawn.line.setAttribute("class", `edge${edge.mesh ? " mesh" : ""}${edge.claimed === 1 ? " claim" : ""}${hot}`);
    drawn.title.textContent = `${short(edge.from)} – ${short(edge.to)}\n${tellers(edge)}`;
    drawn.label.textContent = edge.rtt > 0 && labelled ? delay(edge.rtt) : "";
  }

  #describe(nodes, edges, authors) {
    const { peers, map } = this.#known;
    const mesh = peers.filter((p) => p.in_mesh).length;
    const beyond = [...authors].filter((id) => !nodes.has(id)).length;
    const left = nodes.size - this.#layout.nodes.length;
    const words = [];
    if (map) {
      words.push(`Drawn: ${plural(nodes.size - left, "node")} and ${plural(edges.length, "link")} that nodes tell of.`);
      words.push(map.complete ? "Every node that was heard of has answered." : `More may lie beyond, and is not drawn: ${missing(map).join(", ")}.`);
    } else {
      words.push(`Drawn: this node and the ${peers.length === 1 ? "one peer" : plural(peers.length, "peer")} it is connected to.`);
      words.push("What lies beyond its neighbours it does not know, so it is not drawn.");
    }
    if (left > 0) words.push(`${plural(left, "node")} beyond the first ${most} ${left === 1 ? "is" : "are"} left out.`);
    if (beyond > 0) words.push(`${plural(beyond, "author")} of pings ${beyond === 1 ? "is" : "are"} not drawn: gone, or further away.`);
    this.#note.textContent = words.join(" ");
    this.#svg.setAttribute("aria-label", `The network: this node and ${plural(peers.length, "peer")}, ${mesh} of them in its mesh. The table below says the same.`);
  }

  #resize() {
    const { clientWidth, clientHeight } = this.#svg;
    if (clientWidth === 0) return;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    this.#size = { width: clientWidth, height: clientHeight, rem: rem * Math.min(1, Math.max(0.8, clientWidth / (rem * 34))) };
    this.#svg.setAttribute("viewBox", `0 0 ${clientWidth} ${clientHeight}`);
    const { nodes } = graph(this.#self, this.#known.peers, this.#known.map);
    for (const node of this.#layout.nodes) if (nodes.has(node.id)) this.#drawNode(nodes.get(node.id));
    this.#run();
  }

  // #run draws a frame, and further ones for as long as something moves.
  #run() {
    if (this.#running) return;
    this.#running = true;
    let last = performance.now();
    const frame = (now) => {
      // In few frames a second it comes to rest as soon as in many.
      const steps = Math.min(mostSteps, Math.max(1, Math.round((now - last) / stepTime)));
      last = now;
      let moves = true;
      for (let i = 0; i < steps && moves; i++) moves = this.#layout.step();
      this.#place();
      this.#advance(now);
      this.#running = moves || this.#flights.length > 0;
      if (this.#running) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  #place() {
    const { width, height, rem } = this.#size;
    const box = bounds(this.#layout.nodes, 1);
    const room = { x: rem * 3, top: rem * 2.4, bottom: rem * 3.6 };
    const fits = { x: (width - 2 * room.x) / box.width, y: (height - room.top - room.bottom) / box.height };
    // The drawing may be stretched a little to fill its frame.
    const ky = Math.min(fits.y, fits.x * 1.4, rem / 7.5), kx = Math.min(fits.x, ky * 1.8, rem / 7.5);
    const cx = width / 2 - (box.x + box.width / 2) * kx;
    const cy = (height + room.top - room.bottom) / 2 - (box.y + box.height / 2) * ky;
    this.#at = (id) => {
      const n = this.#layout.get(id);
      return { x: cx + n.x * kx, y: cy + n.y * ky };
    };
    for (const { id } of this.#layout.nodes) {
      const { x, y } = this.#at(id);
      this.#nodes.get(id).box.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
    }
    for (const { line, label, from, to } of this.#edges.values()) {
      const a = this.#at(from), b = this.#at(to);
      set(line, { x1: a.x, y1: a.y, x2: b.x, y2: b.y });
      set(label, { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
      const free = Math.hypot(a.x - b.x, a.y - b.y) - this.#nodes.get(from).radius - this.#nodes.get(to).radius;
      label.setAttribute("visibility", free < rem * 2.5 ? "hidden" : "visible");
    }
  }

  #advance(now) {
    this.#flights = this.#flights.filter((flight) => {
      flight.began ??= now; // the frame that first shows it, however late that is
      const t = (now - flight.began) / flightTime;
      const stands = this.#layout.get(flight.from) && this.#layout.get(flight.to);
      if (t >= 1 || !stands) {
        flight.dot.remove();
        if (stands) this.#pulse(flight.to, flight.ping);
        return false;
      }
      if (!flight.dot.parentNode) this.#layers[2].append(flight.dot);
      const a = this.#at(flight.from), b = this.#at(flight.to);
      const e = t * t * (3 - 2 * t);
      set(flight.dot, { cx: a.x + (b.x - a.x) * e, cy: a.y + (b.y - a.y) * e });
      return true;
    });
  }
}

const set = (e, values) => { for (const [name, v] of Object.entries(values)) e.setAttribute(name, v.toFixed(1)); };

function sweep(drawn, wanted, remove) {
  for (const [key, value] of drawn) {
    if (wanted.has(key)) continue;
    remove(value);
    drawn.delete(key);
  }
}
