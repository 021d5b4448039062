import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  formatEvent,
  idIn,
  keptFields,
  newEventComposer,
  parseEvent,
} from "../../../src/server/history/event.ts";
import { entryOf } from "../../../src/server/log/log.ts";
import { reply } from "../../../src/smtp/reply.ts";

const at = Date.UTC(2026, 10, 29, 12);
const from = { door: "submission", client: "unknown[192.0.2.7]" } as const;
const id = "65D3997B8000";

describe("the composer", () => {
  test("makes one event of the three that an acceptance logs", () => {
    const compose = newEventComposer();
    expect(
      compose(entryOf("client", { ...from, id, mechanism: "PLAIN", login: "user1" }), at),
    ).toBeUndefined();
    expect(compose(entryOf("message-id", { id, messageId: "a@example.org" }), at)).toBeUndefined();
    expect(
      compose(entryOf("queued", { id, from: "user1@example.org", size: 5, recipients: 2 }), at + 1),
    ).toEqual({
      at: at + 1,
      id,
      event: "accepted",
      ...from,
      mechanism: "PLAIN",
      login: "user1",
      messageId: "a@example.org",
      from: "user1@example.org",
      size: 5,
      recipients: 2,
    });
  });

  test("mixes no two messages", () => {
    const compose = newEventComposer();
    compose(entryOf("client", { ...from, id, mechanism: "PLAIN", login: "user1" }), at);
    compose(entryOf("message-id", { id: "65D3997B8001", messageId: "report@example.org" }), at);
    expect(compose(entryOf("queued", { id: "65D3997B8001", from: "", size: 5, recipients: 1 }), at)).toEqual({
      at,
      id: "65D3997B8001",
      event: "accepted",
      messageId: "report@example.org",
      from: "",
      size: 5,
      recipients: 1,
    });
  });

  test("keeps the fields that have a place in the history, and no event without one", () => {
    const compose = newEventComposer();
    const refused = {
      ...from,
      login: "user1",
      stage: "RCPT",
      reply: reply(550, "5.7.1", "no"),
      from: "a@example.org",
      to: "b@example.net",
    };
    expect(compose(entryOf("reject", { ...refused, helo: "laptop.home.example" }), at)).toEqual({
      at,
      event: "reject",
      ...refused,
    });
    expect(compose(entryOf("connect", from), at)).toBeUndefined();
  });
});

describe("a line", () => {
  const removed = { at, id, event: "removed" } as const;

  test("begins with the moment and the message, and is read as it was written", () => {
    const line = formatEvent(removed);
    expect(line).toBe(`{"at":${at},"id":"${id}","event":"removed"}\n`);
    expect(idIn(line)).toBe(id);
    expect(parseEvent(line.trimEnd())).toEqual(removed);
  });

  test.each([
    ["cut short", `{"at":${at},"id":"65D39`],
    ["of a later version", `{"at":${at},"event":"levitated"}`],
    ["a part of an acceptance, which stands nowhere alone", `{"at":${at},"event":"queued"}`],
    ["without a moment", '{"event":"removed"}'],
    ["no object", "[]"],
    ["nothing", "null"],
    ["empty", ""],
  ])("that is %s is passed over", (_, line) => {
    expect(parseEvent(line)).toBeUndefined();
  });

  test("about no message has no queue ID, whatever its texts say", () => {
    expect(idIn(`{"at":${at},"event":"auth-failed","login":"\\"id\\":\\"65D3997B8000\\""}`)).toBeUndefined();
  });
});

test("docs/privacy.md names every field that is kept, and no other", () => {
  const page = readFileSync(new URL("../../../docs/privacy.md", import.meta.url), "utf8");
  const [, table = ""] = /\| event \| fields \|\n\|---\|---\|\n((?:\|.*\n)*)/.exec(page) ?? [];
  expect(table.trimEnd().split("\n")).toEqual(
    Object.entries(keptFields).map(([event, fields]) => `| ${event} | ${fields.join(", ")} |`),
  );
});
