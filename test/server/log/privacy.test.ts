/** What log and history have of people with `log.privacy = "shortened"`. */
import { afterEach, describe, expect, test } from "vitest";
import { type EventName, events, type FieldsOf } from "../../../src/server/log/events.ts";
import { type FieldKind, fieldKinds } from "../../../src/server/log/fields.ts";
import { lineOf } from "../../../src/server/log/format.ts";
import { entryOf, type LogEntry, log, logTo, shortenBy } from "../../../src/server/log/log.ts";
import { hashRecipient, newShortener, shortenAddress } from "../../../src/server/log/privacy.ts";
import { reply } from "../../../src/smtp/reply.ts";

const key = Buffer.alloc(32, 7);
afterEach(() => {
  shortenBy(undefined);
  logTo(() => undefined);
});

/** Something for each field, personal where its kind says so. */
function exampleOf(name: string, kind: FieldKind): unknown {
  if (kind === "recipient") return "anna@example.net";
  if (kind === "client") return name === "client" ? "unknown[192.0.2.77]" : "[192.0.2.77]";
  const words = "192.0.2.77 sent <Anna@example.net> for ANNA, but not susanna";
  if (kind === "said") return name === "reply" ? reply(550, "5.1.1", words) : words;
  return others[name] ?? 3;
}

const others: Readonly<Record<string, unknown>> = {
  delays: [0, 0, 0, 0],
  door: "submission",
  act: "hold",
  login: "user1",
  relay: "mx.example.net[198.51.100.1]:25",
};

const examplesOf = (name: EventName): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries<FieldKind>(fieldKinds[name]).map(([field, kind]) => [field, exampleOf(field, kind)]),
  );

describe.each(Object.keys(events) as EventName[])("%s", (name) => {
  const fields = examplesOf(name);

  test("has no field in its text whose kind is not declared", () => {
    const asked = new Set<string>();
    const watched = new Proxy(fields, {
      get(target, field) {
        if (typeof field === "string") asked.add(field);
        return target[String(field)];
      },
    });
    (events[name].text as (given: unknown) => string)(watched);
    expect([...asked].filter((field) => !Object.hasOwn(fieldKinds[name], field))).toEqual([]);
  });

  test("has all its fields in JSON, and the words of none there", () => {
    const given = { hostname: "relay.example.org", pid: 1 };
    const entry = entryOf(name, fields as FieldsOf<typeof name>);
    const { time, ...line } = JSON.parse(lineOf(entry, 0, "json", given).whole) as Record<string, unknown>;
    expect(time).toBe("1970-01-01T00:00:00.000Z");
    expect(line).toEqual({ level: entry.level, daemon: entry.daemon, event: name, ...fields });
    expect(Object.keys(fields)).not.toContain("event");
  });

  test("has neither a client's address nor a recipient when shortened", () => {
    shortenBy(newShortener(() => key));
    const entry = JSON.stringify(entryOf(name, fields as FieldsOf<typeof name>));
    const isOfClient = "client" in fields;
    expect(entry).not.toMatch(isOfClient ? /192\.0\.2\.77/ : /\[192\.0\.2\.77\]/);
    expect(entry).not.toMatch(/anna@example/i);
    if ("to" in fields) expect(entry.replaceAll("susanna", "")).not.toMatch(/anna/i);
  });
});

test.each([
  ["192.0.2.7", "192.0.2.0/24"],
  ["::ffff:192.0.2.7", "192.0.2.0/24"],
  ["2001:db8:1:2::3", "2001:db8:1::/48"],
  ["2001:db8::1", "2001:db8::/48"],
  ["2001:db8:0:1:2:3:4:5", "2001:db8::/48"],
  ["fe80::1%eth0", "fe80::/48"],
  ["::1", "::/48"],
  ["mail.example.org", "mail.example.org"],
])("%s becomes %s", (address, network) => {
  expect(shortenAddress(address)).toBe(network);
});

test("a digest keeps the domain, is the same for upper and lower case, and another with another key", () => {
  const name = hashRecipient("Anna@example.net", key);
  expect(name).toMatch(/^#[0-9a-f]{12}@example\.net$/);
  expect(hashRecipient("anna@EXAMPLE.net", key).toLowerCase()).toBe(name);
  expect(hashRecipient("anna@example.com", key).split("@")[0]).not.toBe(name.split("@")[0]);
  expect(hashRecipient("Anna@example.net", Buffer.alloc(32, 8))).not.toBe(name);
  expect(hashRecipient("postmaster", key)).toMatch(/^#[0-9a-f]{12}$/);
  expect(hashRecipient("", key)).toBe("");
});

test("what fail2ban counts goes to it whole, and nothing else does", () => {
  const all: LogEntry[] = [];
  const toBan: LogEntry[] = [];
  logTo(
    (entry) => all.push(entry),
    (entry) => toBan.push(entry),
  );
  shortenBy(newShortener(() => key));
  const from = { door: "submission", client: "unknown[192.0.2.77]" } as const;
  const refused = {
    ...from,
    stage: "RCPT",
    reply: reply(554, "5.7.1", "<anna@example.net>: Relay access denied"),
    from: "",
    to: "anna@example.net",
    helo: "[192.0.2.77]",
  };
  log("connect", from);
  log("auth-failed", { ...from, mechanism: "PLAIN", login: "user1", reason: "wrong" });
  log("reject", refused);
  log("reject", { ...refused, login: "user1" });
  expect(all.map(({ text }) => text.includes("192.0.2.77"))).toEqual([false, false, false, false]);
  expect(toBan.map(({ event }) => event)).toEqual(["auth-failed", "reject"]);
  for (const { text } of toBan) {
    expect(text).toContain("unknown[192.0.2.77]");
    expect(text).not.toContain("anna");
  }
});
