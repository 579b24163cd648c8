// The form that sends a ping.

import { Refused } from "./api.js";
import { count, plural } from "./format.js";

const find = (id) => document.getElementById(id);

const mostReceipts = 16; // asked for with one ping
const mostKnown = 500; // pings whose receipts are remembered
const noteTime = 8000; // ms that the outcome stays

// setUpSending wires the form. onTopic() is the number of peers on the topic;
// receipts maps ping ids to what is known of who stored them; onSent() follows.
export function setUpSending({ api, onTopic, receipts, onSent }) {
  const text = find("send-text"), note = find("send-note");
  let fading = 0;

  const say = (words) => {
    clearTimeout(fading);
    note.textContent = words;
    fading = setTimeout(() => { note.textContent = ""; }, noteTime);
  };

  find("send").addEventListener("submit", async (e) => {
    e.preventDefault();
    const wanted = text.value;
    const wait = Math.min(onTopic(), mostReceipts);
    try {
      // The ping itself shows as soon as it is stored here, by the stream.
      const sending = api.publish(wanted, wait);
      text.value = "";
      text.focus();
      onSent();
      const published = await sending;
      remember(receipts, published);
      say(outcome(published));
      onSent();
    } catch (err) {
      // What has been typed since stays, too.
      text.value = [wanted, text.value].filter(Boolean).join("\n");
      say(err instanceof Refused ? `Not sent: ${err.message.replace(/\.$/, "")}.` : "The node did not answer. If the ping does not show up, send it again.");
    }
  });

  text.addEventListener("keydown", (e) => {
    if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
    e.preventDefault();
    if (!e.repeat) find("send").requestSubmit();
  });
  // A double click is one: the field is empty by the second.
  find("send-button").addEventListener("click", (e) => { if (e.detail === 2) e.preventDefault(); });
}

function remember(receipts, published) {
  if (!published.receipts) return;
  receipts.set(published.id, `stored by ${count(published.receipts.length)}`);
  if (receipts.size > mostKnown) receipts.delete(receipts.keys().next().value);
}

// outcome puts what the node answered into words.
export function outcome(published) {
  const to = published.topic_peers;
  if (published.receipts?.length) return `Signed, and stored here and by ${plural(published.receipts.length, "other node")}.`;
  if (to > 0) return `Signed, stored, and handed to ${plural(to, "peer")}.`;
  return "Signed and stored. Nobody is on the topic now: who comes later catches up.";
}
