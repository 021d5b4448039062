import { createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import type { ProbePlan } from "../../src/probe/plan.ts";
import { dial } from "../../src/probe/transaction/dial.ts";
import type { ProbeDependencies } from "../../src/probe/transaction/session.ts";
import type { Transcript } from "../../src/probe/transcript/transcript.ts";

/** Listens on 127.0.0.1 alone. */
async function listening(): Promise<number> {
  const server = createServer((socket) => socket.on("error", () => undefined));
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  onTestFinished(() => void server.close());
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Where a run for bob@example.org gets to, and what it says on its way, where `hosts` take mail for the domain. */
async function way(
  port: number,
  hosts: readonly string[] | Promise<readonly string[]>,
  timeout = 5000,
): Promise<readonly [string | undefined, string[]]> {
  const said: string[] = [];
  const silent = (): void => undefined;
  const transcript: Transcript = {
    sent: silent,
    message: silent,
    received: silent,
    dump: silent,
    explain: silent,
    info: (text) => void said.push(text),
    error: (text) => void said.push(text),
  };
  const plan = {
    transport: { kind: "inet", port },
    protocol: { core: "esmtp", to: ["alice@example.net", "bob@example.org"], timeout },
  } as unknown as ProbePlan;
  const dependencies = {
    route: async (domain: string) => (domain === "example.org" ? hosts : []),
  } as unknown as ProbeDependencies;
  const line = await dial(plan, transcript, dependencies);
  onTestFinished(() => void line?.stream.destroy());
  return [line?.host, said];
}

test("every mail exchanger is tried, the best first", async () => {
  const port = await listening();
  expect(await way(port, ["127.0.0.2", "127.0.0.1"])).toEqual([
    "127.0.0.1",
    [
      `Trying 127.0.0.2:${port}...`,
      `Error connecting to 127.0.0.2:${port}:\n\tConnection refused`,
      `Trying 127.0.0.1:${port}...`,
      "Connected to 127.0.0.1.",
    ],
  ]);
});

test("a domain that takes no mail is not connected to", async () => {
  expect(await way(25, [])).toEqual([
    undefined,
    ["example.org says that it takes no mail (a null MX, RFC 7505)"],
  ]);
});

test("a name server that does not answer has the time of any other, and no more", async () => {
  const never = new Promise<readonly string[]>(() => undefined);
  expect(await way(25, never, 50)).toEqual([
    undefined,
    ["Error connecting to example.org:\n\tConnection timed out"],
  ]);
});
