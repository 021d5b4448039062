/** Clients of a listener, in the states that tests begin with; both are closed after each test. */
import type { ConnectionOptions } from "node:tls";
import { afterEach, expect } from "vitest";
import { type Client, connect } from "./client.ts";
import { openTestListener, type TestListener } from "./test-listener.ts";

let servers: TestListener[] = [];
let clients: Client[] = [];

afterEach(async () => {
  const open = servers;
  servers = [];
  for (const client of clients) client.destroy();
  clients = [];
  await Promise.all(open.map((server) => server.close()));
});

export async function opened(...args: Parameters<typeof openTestListener>): Promise<TestListener> {
  const server = await openTestListener(...args);
  servers.push(server);
  return server;
}

export async function connected(
  server: TestListener,
  secure = true,
  tls?: ConnectionOptions,
): Promise<Client> {
  const client = await connect(server.port, secure, tls);
  clients.push(client);
  return client;
}

/** Sends a command and gives the last line of its reply. */
export async function ask(client: Client, command: string): Promise<string | undefined> {
  await client.send(`${command}\r\n`);
  return answer(client);
}

async function answer(client: Client): Promise<string | undefined> {
  let line = await client.line();
  while (line !== undefined && /^\d\d\d-/.test(line)) line = await client.line();
  return line;
}

export async function greeted(server: TestListener, secure = true, tls?: ConnectionOptions): Promise<Client> {
  const client = await connected(server, secure, tls);
  expect(await client.line()).toMatch(/^220 /);
  expect(await ask(client, "EHLO client.example")).toMatch(/^250 /);
  return client;
}

export async function loggedIn(server: TestListener): Promise<Client> {
  const client = await greeted(server);
  const response = Buffer.from("\0user1\0secret").toString("base64");
  expect(await ask(client, `AUTH PLAIN ${response}`)).toMatch(/^235 /);
  return client;
}

/** A session that has sent the beginning of a message. */
export async function amidMessage(
  server: TestListener,
  begun = "From: user1@example.org\r\n\r\nhalf",
): Promise<Client> {
  const client = await loggedIn(server);
  expect(await ask(client, "MAIL FROM:<user1@example.org>")).toMatch(/^250 /);
  expect(await ask(client, "RCPT TO:<x@example.net>")).toMatch(/^250 /);
  expect(await ask(client, "DATA")).toMatch(/^354 /);
  await client.send(begun);
  return client;
}

export const texts = ({ log }: TestListener): readonly string[] => log.map(({ text }) => text);
export const noBug = ({ log }: TestListener): void =>
  expect(log.filter(({ event }) => event === "bug")).toEqual([]);
