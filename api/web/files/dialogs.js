// What opens over the page: one ping whole, and the question for the token.

import { count, clock, instant } from "./format.js";
import { delayOf, showText, viaWord } from "./list.js";

const find = (id) => document.getElementById(id);

find("detail-close").addEventListener("click", () => find("detail").close());
find("detail").addEventListener("click", (e) => { if (e.target === find("detail")) find("detail").close(); });
// Nothing works without the token, so the question can't be waved away.
find("token").addEventListener("cancel", (e) => e.preventDefault());

// openDetail shows a ping whole. stored says who stored it, where that is known.
export function openDetail(ping, now, stored) {
  showText(find("detail-text"), ping.text);
  const facts = [
    ["Author", ping.author],
    ["Sent", `${clock(instant(ping.sent_at), now)} (${ping.sent_at})`],
    ["Received", `${clock(instant(ping.received_at), now)} (${ping.received_at})`],
    ["Delay", delayOf(ping)],
    ["Came by", viaWord(ping)],
    ["From", ping.from],
    ["Receipts", stored],
    ["Length", `${count(new TextEncoder().encode(ping.text).length)} bytes`],
    ["ID", ping.id],
  ];
  find("detail-facts").replaceChildren(...facts.filter(([, value]) => value).flatMap(([name, value]) => {
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    return [dt, dd];
  }));
  find("detail").showModal();
}

// askToken resolves to the token that the user gives; refused tells that the
// last one was wrong.
export function askToken(refused) {
  const dialog = find("token");
  find("token-refused").hidden = !refused;
  find("token-text").value = "";
  if (!dialog.open) dialog.showModal();
  find("token-text").focus();
  return new Promise((done) => {
    find("token-form").addEventListener("submit", (e) => {
      e.preventDefault();
      const token = find("token-text").value.trim();
      find("token-text").value = "";
      dialog.close();
      done(token);
    }, { once: true });
  });
}
