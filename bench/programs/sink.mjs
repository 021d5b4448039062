/**
 * A server that takes everything and does nothing with it: how fast the clients could be, the yardstick for the memory of a
 * session, and the next hop where smtp-sink is missing.
 *   node sink.mjs [CERTIFICATE KEY]      inside TLS with them
 * Prints its port, and from then on, whenever there are more, how many messages it has taken.
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";

const [certificate, key] = process.argv.slice(2).map((path) => readFileSync(path));
let taken = 0;

/** @param {import("node:net").Socket} socket */
function serve(socket) {
  let inData = false;
  let rest = "";
  socket.setNoDelay(true);
  socket.on("error", () => undefined);
  socket.on("data", (/** @type {Buffer} */ chunk) => {
    const text = rest + chunk.toString("latin1");
    let replies = "";
    let from = 0;
    for (;;) {
      const mark = inData ? "\r\n.\r\n" : "\r\n";
      const end = text.indexOf(mark, from);
      if (end === -1) break;
      const word = text.slice(from, from + 4).toUpperCase();
      from = end + mark.length;
      if (inData) {
        inData = false;
        taken += 1;
        replies += "250 2.0.0 Taken\r\n";
      } else if (word === "DATA") {
        inData = true;
        from -= 2; // the dot may follow at once
        replies += "354 Go on\r\n";
      } else if (word === "EHLO") {
        replies += "250-sink.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 AUTH PLAIN\r\n";
      } else {
        replies +=
          word === "AUTH"
            ? "235 2.7.0 Fine\r\n"
            : word === "QUIT"
              ? "221 2.0.0 Bye\r\n"
              : "250 2.0.0 Fine\r\n";
        if (word === "QUIT") socket.end(replies);
      }
    }
    // Of a message only what may be the beginning of its end is kept.
    rest = inData ? text.slice(Math.max(from, text.length - 4)) : text.slice(from);
    if (replies !== "" && socket.writable) socket.write(replies);
  });
  socket.write("220 sink.example.net\r\n");
}

const server = certificate && key ? createTlsServer({ cert: certificate, key }, serve) : createServer(serve);
server.listen(0, "127.0.0.1", 2_000, () => {
  const address = server.address();
  process.stdout.write(`${typeof address === "object" ? address?.port : 0}\n`);
  let told = 0;
  setInterval(() => {
    if (taken !== told) process.stdout.write(`mesg=${taken}\n`);
    told = taken;
  }, 5);
});
