/** A name server for which every domain is a host on 127.0.0.1 without MX records. */
import { createSocket } from "node:dgram";
import { once } from "node:events";

const typeA = 1;

/** The answer to a query (RFC 1035 section 4.1). @param {Buffer} query */
function answer(query) {
  let end = 12;
  while ((query[end] ?? 0) > 0) end += 1 + (query[end] ?? 0);
  const question = query.subarray(12, end + 5);
  const isA = question.readUInt16BE(question.length - 4) === typeA;
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(0x8180, 2); // a response, recursion desired and available
  header.writeUInt16BE(isA ? 1 : 0, 6);
  header.fill(0, 8); // no authority, and nothing additional such as the query's EDNS
  const record = Buffer.from([0xc0, 12, 0, typeA, 0, 1, 0, 0, 1, 0, 0, 4, 127, 0, 0, 1]);
  return Buffer.concat(isA ? [header, question, record] : [header, question]);
}

export async function startDns() {
  const socket = createSocket("udp4");
  socket.on("message", (query, { port, address }) => socket.send(answer(query), port, address));
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    port: socket.address().port,
    async stop() {
      socket.close();
    },
  };
}
