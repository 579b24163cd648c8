// What js-libp2p uses, and Node.js has from version 22 on.

import { WebSocket } from "ws";

// Browsers give the first message only after what waited for the connection ran.
globalThis.WebSocket ??= class extends WebSocket {
  constructor(url) {
    super(url, { allowSynchronousEvents: false });
  }
};

Promise.withResolvers ??= function withResolvers() {
  const deferred = {};
  deferred.promise = new this((resolve, reject) => Object.assign(deferred, { resolve, reject }));
  return deferred;
};
