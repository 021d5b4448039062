/** Mailboxes at IMAP servers that search badly: the server is a scripted one. */
import { createServer, type Server, type TLSSocket } from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import { type ImapAccount, openImap } from "../../../src/probe/arrival/imap.ts";
import type { SearchCriteria } from "../../../src/probe/arrival/mailbox.ts";
import { selfSigned } from "../../tools/certificate.ts";
import { fakeMailbox, type Searching } from "./fake-imap.ts";

const { signal } = new AbortController();
const wanted: SearchCriteria = { mark: (text) => text === "ours", report: () => true };
const certificate = selfSigned(["localhost"]);

const servers: Server[] = [];
const sockets = new Set<TLSSocket>();
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

async function accountAt(messages: readonly string[], searching: Searching): Promise<ImapAccount> {
  const server = createServer(certificate, (socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    fakeMailbox(socket, messages, searching);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const login = {
    host: "localhost",
    port,
    implicitTls: true,
    user: "u",
    password: "p",
    ca: certificate.cert,
  };
  return { ...login, folder: "INBOX" };
}

const other = "Subject: other\r\n\r\n";
const marked = "Subject: marked\r\nX-Tpa-Submit-Probe: ours\r\n\r\n";
const report = "Subject: returned\r\nContent-Type: multipart/report; boundary=b\r\n\r\n";

async function subjects(messages: readonly string[], searching: Searching): Promise<readonly string[]> {
  const mailbox = await openImap(await accountAt(messages, searching), signal);
  const found = await mailbox.look(Date.now(), wanted, signal);
  expect(await mailbox.look(Date.now(), wanted, signal)).toEqual([]); // nothing is new
  await mailbox.close();
  return found.map(({ octets }) => /^Subject: (.*)\r$/m.exec(octets.toString())?.[1] ?? "");
}

describe.each<[string, Searching]>([
  ["searches", "well"],
  ["refuses to search for a field, with NO", "NO for a field"],
  ["refuses to search for a field, with BAD", "BAD for a field"],
  ["finds nothing where the field is an unusual one", "nothing for an unusual field"],
  ["refuses every search, with NO", "NO"],
  ["refuses every search, with BAD", "BAD"],
])("a server that %s", (_, searching) => {
  test("shows what has come", async () => {
    expect(await subjects([other, marked, other, report], searching)).toEqual(["marked", "returned"]);
  });

  test("shows it in a flood", async () => {
    const flood = Array.from({ length: 700 }, () => other);
    expect(await subjects([marked, ...flood, report, ...flood], searching)).toEqual(["marked", "returned"]);
  });

  test("shows nothing where there is nothing", async () => {
    expect(await subjects([], searching)).toEqual([]);
  });
});

test("a server that refuses to give what it has cannot be looked at", async () => {
  const mailbox = await openImap(await accountAt([marked], "nothing at all"), signal);
  await expect(mailbox.look(Date.now(), wanted, signal)).rejects.toThrow(
    /^the mailbox of u at localhost:\d+ cannot be looked at: .*not today/,
  );
  await mailbox.close();
});

test("a server that leaves the headers out cannot be looked at", async () => {
  const mailbox = await openImap(await accountAt([marked], "no headers"), signal);
  await expect(mailbox.look(Date.now(), wanted, signal)).rejects.toThrow(
    "the server does not give the headers of INBOX",
  );
  await mailbox.close();
});
