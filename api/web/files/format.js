// How the page writes things. Pure.

const counts = new Intl.NumberFormat("en");

// short is the end of a peer ID: every Ed25519 ID begins the same way.
export const short = (id) => (id.length <= 8 ? id : id.slice(-8));

export const count = (n) => counts.format(n);

// plural writes "1 peer", "2 peers".
export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;

// delay writes milliseconds to two or three digits, whatever their size. Clocks
// differ, so it may be negative.
export function delay(ms) {
  const sign = ms < 0 ? "\u2212" : "";
  const m = Math.abs(ms);
  if (m < 10) return `${sign}${m.toFixed(m < 1 ? 2 : 1)} ms`;
  if (m < 1000) return `${sign}${Math.round(m)} ms`;
  if (m < 60_000) return `${sign}${(m / 1000).toFixed(m < 10_000 ? 1 : 0)} s`;
  return sign + span(m);
}

// span writes a length of time in its two largest units.
export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s < 600 && s % 60 ? ` ${s % 60} s` : ""}`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${plural(Math.floor(s / 86_400), "day")} ${Math.floor((s % 86_400) / 3600)} h`;
}

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return `${n < 10 && i > 0 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

const clocks = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minutes = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const days = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

// clock writes the time of day, with the day where it is not that of now.
export function clock(ms, now) {
  const time = clocks.format(ms);
  const day = days.format(ms);
  return day === days.format(now) ? time : `${day}, ${time}`;
}

export const minute = (ms) => minutes.format(ms);

// instant reads an RFC 3339 time to fractions of a millisecond, which Date cuts
// off. It returns NaN for what is none, and for Go's zero time.
export function instant(text) {
  const ms = Date.parse(text);
  if (!(ms > -6e13)) return NaN;
  const digits = /\.\d{3}(\d{1,3})/.exec(text);
  return digits ? ms + Number(digits[1].padEnd(3, "0")) / 1000 : ms;
}

// visible tells whether a text has anything that shows: letters, marks, signs.
// Format characters, controls, spaces and blank letters do not.
export const visible = (text) => /[^\p{C}\p{Z}\p{M}\u115F\u1160\u2800\u3164\uFFA0]/u.test(text);

// clip cuts a text to n characters for a place that shows no more anyway, never
// through the middle of one.
export function clip(text, n) {
  if (text.length <= n) return text;
  const end = text.charCodeAt(n - 1) >= 0xd800 && text.charCodeAt(n - 1) < 0xdc00 ? n - 1 : n;
  return text.slice(0, end) + "\u2026";
}
