import { describe, expect, test } from "vitest";
import { matchesRoute, routedTransport } from "../../../src/server/delivery/routes.ts";
import { relayTransport, type Transport } from "../../../src/server/delivery/transport.ts";
import type { TransportSettings } from "../../../src/server/delivery/transport-settings.ts";
import { close } from "../../tools/fakeserver.ts";
import { envelope, outgoing, recipient, replies, transportSettings } from "./fixtures.ts";
import { server } from "./hosts.ts";

describe("a route", () => {
  const cases: readonly (readonly [
    to: string,
    from: string,
    sender: string,
    recipient: string,
    fits: boolean,
  ])[] = [
    ["example.net", "", "user1@example.org", "a@example.net", true],
    ["example.net", "", "user1@example.org", "a@EXAMPLE.NET", true],
    ["example.net", "", "user1@example.org", "a@mail.example.net", false],
    ["example.net", "", "user1@example.org", "a@anexample.net", false],
    [".example.net", "", "user1@example.org", "a@mail.example.net", true],
    [".example.net", "", "user1@example.org", "a@example.net", false],
    [".example.net", "", "user1@example.org", "a@anexample.net", false],
    ["example.com example.net", "", "user1@example.org", "a@example.net", true],
    ["xn--exmple-cua.example.net", "", "user1@example.org", "a@ex\u00e4mple.example.net", true],
    ["*", "", "user1@example.org", "a@[192.0.2.1]", true],
    ["", "press@example.org", "press@example.org", "a@example.net", true],
    ["", "press@example.org", "Press@Example.org", "a@example.net", true],
    ["", "press@example.org", "press+tag@example.org", "a@example.net", false],
    ["", "press@example.org", "express@example.org", "a@example.net", false],
    ["", "press@example.org", "press@mail.example.org", "a@example.net", false],
    ["", "example.org", "user1@example.org", "a@example.net", true],
    ["", ".example.org", "user1@mail.example.org", "a@example.net", true],
    ["", ".example.org", "user1@example.org", "a@example.net", false],
    ["", "example.org", "", "a@example.net", false],
    ["", "<>", "", "a@example.net", true],
    ["", "<>", "user1@example.org", "a@example.net", false],
    ["", "*", "", "a@example.net", true],
    ["example.net", "press@example.org", "press@example.org", "a@example.net", true],
    ["example.net", "press@example.org", "press@example.org", "a@example.com", false],
    ["example.net", "press@example.org", "user1@example.org", "a@example.net", false],
  ];

  test.each(cases)(
    'to "%s" from "%s" and <%s> writing to <%s>: %s',
    (to, from, sender, address, expected) => {
      const list = (text: string) => text.split(" ").filter((word) => word !== "");
      expect(matchesRoute({ to: list(to), from: list(from) }, sender, address)).toBe(expected);
    },
  );
});

describe("routes together", () => {
  const named = (name: string): Transport => ({
    destination: () => name,
    deliver: async (carried) =>
      carried.recipients.map((one) => ({
        recipient: one,
        reply: { code: 250, status: "2.0.0", text: name, relay: name, command: "end of DATA", at: 0 },
        transmitting: 0,
      })),
  });
  const ways = routedTransport(
    [
      { match: { to: ["example.net"], from: [] }, transport: named("first") },
      { match: { to: ["*"], from: ["press@example.org"] }, transport: named("first") },
      { match: { to: ["example.net"], from: [] }, transport: named("never") },
    ],
    named("first"),
    (relay) => (relay === "smtp://relay.example.net:25" ? named("elsewhere") : undefined),
    () => 1000,
  );
  const from = (sender: string, relay?: string) =>
    envelope({ sender, ...(relay !== undefined && { relay }) });

  test("choose the first that fits, and none shares a destination with another", () => {
    const user = from("user1@example.org");
    const press = from("press@example.org");
    expect([
      ways.destination(user, "a@example.net"),
      ways.destination(user, "b@example.net"),
      ways.destination(press, "a@example.net"),
      ways.destination(press, "a@example.com"),
      ways.destination(user, "a@example.com"),
    ]).toEqual(["first (route 1)", "first (route 1)", "first (route 1)", "first (route 2)", "first"]);
  });

  test("choose by the domain of the login, of which a report has none", () => {
    const all = { to: ["*"], from: [] };
    const byLogin = routedTransport(
      [
        { match: { ...all, loginDomains: ["example.net"] }, transport: named("net") },
        { match: { ...all, loginDomains: [""] }, transport: named("main") },
      ],
      named("rest"),
      () => undefined,
      () => 1000,
    );
    const way = (login: string | null) =>
      byLogin.destination(envelope({ login, sender: "whoever@example.org" }), "a@example.com");
    expect(["anna@example.net", "anna", "anna@example.com", null].map(way)).toEqual([
      "net (route 1)",
      "main (route 2)",
      "rest",
      "rest",
    ]);
  });

  test("carry by the way of the destination", async () => {
    const sent = outgoing({ sender: "press@example.org", recipients: [recipient("a@example.com")] });
    expect(replies(await ways.deliver(sent, new AbortController().signal))).toEqual(["250 2.0.0 first"]);
  });

  test("yield to an operator who redirects a message", async () => {
    const relay = "smtp://relay.example.net:25";
    expect(ways.destination(from("user1@example.org", relay), "a@example.net")).toBe(
      "elsewhere (redirected)",
    );
    const outcomes = await ways.deliver(outgoing({ relay }), new AbortController().signal);
    expect(replies(outcomes)).toEqual(["250 2.0.0 elsewhere"]);
  });

  test("keep a message that was redirected to nowhere", async () => {
    const outcomes = await ways.deliver(
      outgoing({ relay: "relay.example.net" }),
      new AbortController().signal,
    );
    expect(replies(outcomes)).toEqual([
      '451 4.4.4 the message was redirected to "relay.example.net", which is no relay',
    ]);
  });
});

describe("relays in a list", () => {
  const carry = (ports: readonly number[], more: Partial<TransportSettings> = {}) =>
    relayTransport(
      ports.map((port) => ({ host: "127.0.0.1", port })),
      { lookup: () => Promise.reject(new Error("nobody asks")) },
      transportSettings(more),
      () => 1000,
    ).deliver(outgoing(), new AbortController().signal);

  test("are one destination", () => {
    const relays = relayTransport(
      [
        { host: "relay.example.net", port: 25 },
        { host: "2001:db8::1", port: 465, implicit: true },
      ],
      { lookup: () => Promise.reject(new Error("nobody asks")) },
      transportSettings(),
      () => 1000,
    );
    expect(relays.destination(envelope(), "a@example.net")).toBe("relay.example.net:25,[2001:db8::1]:465");
  });

  test.each([
    ["turns everybody away", { greeting: "421 4.3.2 busy" }],
    ["turns everybody away for good", { greeting: "554 5.7.1 go away" }],
    ["hangs up", { greeting: close }],
    ["hangs up at MAIL", { MAIL: close }],
    ["refuses EHLO", { EHLO: "421 4.3.2 busy" }],
  ])("are tried one after the other: one that %s is left for the next at once", async (_, script) => {
    const [first, second] = [await server(script), await server()];
    expect(replies(await carry([first.port, second.port]))).toEqual(["250 2.0.0 queued as F00"]);
    expect([first.received.length, second.received.length]).toEqual([0, 1]);
  });

  test("are not tried further when one has spoken about the message", async () => {
    const [first, second] = [await server({ MAIL: "550 5.7.1 not from you" }), await server()];
    expect(replies(await carry([first.port, second.port]))).toEqual(["550 5.7.1 not from you"]);
    expect(second.connections()).toBe(0);
  });

  test("are used though one of them has no address", async () => {
    const second = await server();
    const transport = relayTransport(
      [
        { host: "gone.example.net", port: 25 },
        { host: "relay.example.net", port: second.port },
      ],
      {
        lookup: async (host) => {
          if (host === "relay.example.net") return ["127.0.0.1"];
          throw Object.assign(new Error("no such host"), { code: "ENOTFOUND" });
        },
      },
      transportSettings(),
      () => 1000,
    );
    expect(replies(await transport.deliver(outgoing(), new AbortController().signal))).toEqual([
      "250 2.0.0 queued as F00",
    ]);
  });

  test("keep the mail here when none of them has an address", async () => {
    const transport = relayTransport(
      [{ host: "gone.example.net", port: 25 }],
      { lookup: () => Promise.reject(Object.assign(new Error("no such host"), { code: "ENOTFOUND" })) },
      transportSettings(),
      () => 1000,
    );
    expect(replies(await transport.deliver(outgoing(), new AbortController().signal))).toEqual([
      "451 4.4.4 the relay gone.example.net has no address: check relay and the DNS",
    ]);
  });
});

test("a connection comes from the source address that is set", async () => {
  const at = await server();
  const transport = relayTransport(
    [{ host: "127.0.0.1", port: at.port }],
    { lookup: () => Promise.reject(new Error("nobody asks")) },
    transportSettings({ source: { v4: "127.0.0.9", v6: "::1" } }),
    () => 1000,
  );
  await transport.deliver(outgoing(), new AbortController().signal);
  expect(at.clients).toEqual(["127.0.0.9"]);
});
