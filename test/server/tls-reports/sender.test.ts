/** Sending what is due: once, to those who ask, in their order, whatever breaks on the way. */
import { expect, test } from "vitest";
import type { DnsAnswer } from "../../../src/server/delivery/dns/resolver.ts";
import { noDemand } from "../../../src/server/delivery/tls/observation.ts";
import { type LogEntry, logTo } from "../../../src/server/log/log.ts";
import type { Draft } from "../../../src/server/spool/draft.ts";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import { sendRound, type TlsReportDependencies } from "../../../src/server/tls-reports/sender.ts";
import { newTlsTally } from "../../../src/server/tls-reports/tally.ts";

const start = Date.parse("2026-11-27T12:00:00Z");
const day = 86_400_000;
const record = (rua: string): DnsAnswer<string> => ({ kind: "found", values: [`v=TLSRPTv1; rua=${rua}`] });

/** A relay a day later, with one session with each domain; what it does stands in `done`, in order. */
function relayWith(
  zone: Readonly<Record<string, DnsAnswer<string>>>,
  more: Partial<TlsReportDependencies> = {},
) {
  const done: string[] = [];
  let time = start;
  const tally = newTlsTally("", () => time);
  for (const domain of Object.keys(zone))
    tally.add({ domain, demanded: noDemand, host: "mx", address: "192.0.2.1" });
  time += day;
  logTo(({ text }: LogEntry) => done.push(`log ${text}`));
  const queued: Parameters<Draft["accept"]>[0][] = [];
  const dependencies: TlsReportDependencies = {
    tally,
    save: async () => void done.push(`save ${tally.due().length}`),
    resolver: { txt: async (name) => zone[name.replace("_smtp._tls.", "")] ?? { kind: "unknown" } },
    spool: {
      draft: async () => ({
        id: "A1",
        write: async () => undefined,
        accept: async (envelope) => {
          queued.push(envelope);
          done.push(`queue ${envelope.recipients[0]?.address}`);
          return { ...envelope, id: "A1", size: 1 } as unknown as Envelope;
        },
        discard: async () => void done.push("discard"),
      }),
    },
    wake: () => undefined,
    post: async (url) => {
      done.push(`post ${url}`);
      return undefined;
    },
    pause: async () => undefined,
    reporting: {
      organization: "o",
      contact: "c@example.org",
      domain: "example.org",
      hostname: "relay.example.org",
    },
    now: () => time,
    ...more,
  };
  const round = () => sendRound(dependencies, new AbortController().signal);
  const without = (word: string) => done.filter((line) => !line.startsWith(word));
  return { done, round, queued, tally, without };
}

test("each report leaves once, after it was taken out of what is on the disk", async () => {
  const { done, round, queued, without } = relayWith({
    "a.example.net": record("mailto:tls@a.example.net,https://a.example.net/tls"),
    "b.example.net": { kind: "unknown" },
    "c.example.net": record("mailto:tls@c.example.net"),
  });
  await round();
  await round();
  expect(without("log")).toEqual([
    "save 2",
    "queue tls@a.example.net",
    "post https://a.example.net/tls",
    "save 0",
    "queue tls@c.example.net",
  ]);
  expect(done).toContain("log TLS report of 2026-11-27 on a.example.net sent by https");
  expect(queued[0]).toMatchObject({
    sender: "",
    login: null,
    tlsOptional: true,
    recipients: [{ address: "tls@a.example.net", notify: ["NEVER"] }],
  });
});

test("a domain that the DNS does not tell of waits for the next round", async () => {
  const zone: Record<string, DnsAnswer<string>> = {
    "a.example.net": { kind: "trouble", reason: "ESERVFAIL" },
  };
  const { done, round, tally, without } = relayWith(zone);
  await round();
  expect(done).toEqual(["log TLS report on a.example.net not sent: ESERVFAIL"]);
  expect(tally.due()).toHaveLength(1);
  zone["a.example.net"] = record("mailto:tls@a.example.net");
  await round();
  expect(without("log")).toEqual(["save 0", "queue tls@a.example.net"]);
});

test("nothing is sent where the disk does not take what was taken out", async () => {
  const full = async () => {
    throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
  };
  const { done, round } = relayWith({ "a.example.net": record("mailto:tls@a.example.net") }, { save: full });
  await round();
  expect(done).toEqual(["log counts for TLS reports on disk: ENOSPC: no space left on device"]);
});

test("nobody is flooded in somebody else's name", async () => {
  const names = Array.from({ length: 150 }, (_, at) => [
    `d${at}.example.net`,
    record("mailto:victim@example.com"),
  ]);
  const { done, round } = relayWith(Object.fromEntries(names));
  await round();
  expect(done.filter((line) => line === "queue victim@example.com")).toHaveLength(100);
});

test("a web server that refuses is told of", async () => {
  const { done, round } = relayWith(
    { "a.example.net": record("https://a.example.net/") },
    { post: async () => "the web server answers 500" },
  );
  await round();
  expect(done).toContain("log TLS report on a.example.net not sent: the web server answers 500");
});
