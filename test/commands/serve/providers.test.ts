/** Several domains at one provider's hosts: the running program asks a name server on loopback, and slows down for all of them. */
import { afterEach, describe, expect, test } from "vitest";
import { program, type Relay, startRelay } from "../../../demo/relay.mjs";
import { run } from "../../tools/child.mjs";
import { type NameServer, nameServer, type Records } from "../../tools/dns.ts";
import { type FakeServer, fakeServer, type Script } from "../../tools/fakeserver.ts";
import { freePort } from "../../tools/port.mjs";
import { enter, note, submit, submitAlone } from "./conversation.ts";

const [big, small] = ["127.0.0.2", "127.0.0.3"];
const zone = new Map<string, Records>([
  ["aspmx.l.google.com", { a: [big] }],
  ["mx.example.net", { a: [small] }],
  ["small.example", { mx: [[10, "mx.example.net"]] }],
  ...["one", "two", "three", "four", "five"].map(
    (name) => [`${name}.example`, { mx: [[10, "aspmx.l.google.com"]] }] as [string, Records],
  ),
]);

let relay: Relay;
let names: NameServer;
let servers: FakeServer[] = [];
afterEach(async () => {
  await relay?.stop();
  await names?.close();
  await Promise.all(servers.map((server) => server.close()));
  servers = [];
});

async function site(script: Script, settings: string): Promise<readonly FakeServer[]> {
  const port = await freePort(big, small);
  servers = [
    await fakeServer(script, { at: { host: big, port } }),
    await fakeServer({}, { at: { host: small, port } }),
  ];
  names = await nameServer(zone);
  relay = await startRelay(`[listen]
submission = ["127.0.0.1:0"]
submissions = ["127.0.0.1:0"]
http = "127.0.0.1:0"
[delivery]
relay = "mx"
nameservers = ["${names.address}"]
port = ${port}
private-addresses = true
mta-sts = false
retry-first = "1s"
retry-longest = "1h"
${settings}`);
  return servers;
}

async function said(...words: readonly string[]): Promise<string> {
  const { stdout, stderr } = await run(process.execPath, [program, ...words, "--config", relay.config]);
  return stdout + stderr;
}

const send = (domain: string): Promise<string> => submitAlone(relay, note(domain), { to: [`x@${domain}`] });

describe("a provider that asks to slow down", () => {
  test("hears nothing for any of its domains until the pause ends, while others are served", async () => {
    const rate = "421 4.7.28 Our system has detected an unusual rate of unsolicited mail gsmtp";
    const [google] = await site(
      { MAIL: [rate, "250 2.1.0 ok"] },
      '[[provider]]\nname = "Google"\npause = "4s"',
    );
    await send("one.example");
    await relay.logged(/no delivery to hosts of Google for \d seconds: .*Our system has detected/);
    const second = await send("two.example");
    await relay.logged(
      new RegExp(
        `${second}: to=<x@two\\.example>, relay=none, .*delivery temporarily suspended: .*Our system`,
      ),
    );
    const elsewhere = await send("small.example");
    await relay.logged(new RegExp(`${elsewhere}: removed`));
    expect(google?.commands.filter((line) => line.startsWith("MAIL"))).toHaveLength(1);
    await relay.logged(new RegExp(`${second}: removed`));
    await relay.logged(/to=<x@one\.example>.*status=sent/);
    expect(google?.received.map(({ recipients }) => recipients[0]).sort()).toEqual([
      "TO:<x@one.example>",
      "TO:<x@two.example>",
    ]);
  });

  test("is told of by status, summary and metrics", async () => {
    await site({ greeting: { say: "421 4.7.0 Try again later", fault: "close" } }, "");
    await send("one.example");
    await relay.logged(/no delivery to hosts of Google for \d{3} seconds: /);
    await send("two.example");
    await relay.logged(/x@two\.example>.*suspended/);
    expect(await said("status")).toMatch(
      /\n {2}pausing +Google for \d+m: host aspmx\S+ refused to talk to me: 421 4\.7\.0 Try again later/,
    );
    expect(await said("queue", "summary")).toMatch(
      /Nothing goes to hosts of Google for \d+m: host aspmx\S+ refused to talk to me: 421 4\.7\.0 Try again later/,
    );
    const [, port = ""] = await relay.logged(/listening for http on 127\.0\.0\.1:(\d+)/);
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    expect(metrics).toContain('tpa_submit_provider_pauses_total{provider="Google"} 1');
    expect(metrics).toMatch(
      /tpa_submit_provider_pause_seconds\{provider="Google",class="[a-z-]+"\} [45678]\d\d/,
    );
    await said("queue", "retry", "--all", "--yes");
    await relay.logged(/(?:no delivery to hosts of Google[\s\S]*){2}/);
  });
});

describe("the terms of a provider", () => {
  test("are kept by all its domains together", async () => {
    let open = 0;
    let most = 0;
    const [google] = await site(
      {
        greeting: () => {
          open += 1;
          most = Math.max(most, open);
          return "220 mx.google.com ESMTP";
        },
        QUIT: () => {
          open -= 1;
          return "221 bye";
        },
      },
      '[[provider]]\nname = "Google"\nconcurrency = 2\nmessages-per-session = 3',
    );
    const talk = await enter(relay, "submissions");
    const ids: string[] = [];
    for (let time = 0; time < 20; time++)
      ids.push(await submit(talk, note("many"), { to: ["x@one.example"] }));
    for (const domain of ["two", "three", "four", "five"])
      ids.push(await submit(talk, note("few"), { to: [`x@${domain}.example`] }));
    for (const id of ids) await relay.logged(new RegExp(`${id}: removed`));
    expect(google?.received).toHaveLength(24);
    const sessions = google?.commands.filter((line) => line.startsWith("EHLO")).length ?? 0;
    expect(sessions).toBeGreaterThanOrEqual(8); // 24 messages, 3 a session
    expect(most).toBeLessThanOrEqual(2);
  });

  test("that nobody knows are a mistake in the configuration, told with what was meant", async () => {
    await site({}, "");
    await relay.configure('[[provider]]\nname = "Gogle"\nconcurrency = 2');
    expect(await said("check", "--offline")).toContain(
      '[[provider]] "Gogle": there is none of this name; did you mean "Google"?',
    );
  });
});
