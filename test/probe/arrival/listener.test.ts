import { afterEach, describe, expect, test } from "vitest";
import { type ListenerMailbox, openListener } from "../../../src/probe/arrival/listener.ts";
import { mostOctets, type SearchCriteria } from "../../../src/probe/arrival/mailbox.ts";
import { connect } from "../../server/submission/client.ts";

let listening: ListenerMailbox | undefined;
const { signal } = new AbortController();
const everything: SearchCriteria = { mark: () => true, report: () => true };
afterEach(() => listening?.close());

async function say(protocol: "smtp" | "lmtp", words: string): Promise<string> {
  listening = await openListener({ protocol, host: "127.0.0.1", port: 0 }, () => 1000);
  const client = await connect(listening.port, false);
  await client.send(words);
  const lines: string[] = [];
  for (let line = await client.line(); line !== undefined; line = await client.line())
    lines.push(line.slice(0, 3));
  client.destroy();
  return lines.join(" ");
}

const marked = "X-Tpa-Submit-Probe: x\r\n\r\n..dot\r\n.\r\n";

describe("the probe as the other end", () => {
  test("takes a message by SMTP", async () => {
    expect(await say("smtp", `EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<x>\r\nDATA\r\n${marked}QUIT\r\n`)).toBe(
      "220 250 250 250 250 250 250 354 250 221",
    );
    const [message, ...more] = (await listening?.look(0, everything, signal)) ?? [];
    expect(message).toMatchObject({ place: "inbox", at: 1000, size: 31 });
    expect(message?.octets.toString()).toBe("X-Tpa-Submit-Probe: x\r\n\r\n.dot\r\n");
    expect(more).toEqual([]);
    expect(await listening?.look(0, everything, signal)).toEqual([]);
  });

  test("answers for each recipient by LMTP", async () => {
    expect(
      await say("lmtp", `LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<x>\r\nRCPT TO:<y>\r\nDATA\r\n${marked}QUIT\r\n`),
    ).toBe("220 250 250 250 250 250 250 250 354 250 250 221");
  });

  test("forgets what has no mark, and the rest of what is long", async () => {
    const long = `X-Tpa-Submit-Probe: x\r\n\r\n${"y".repeat(1_000_000)}\r\n.\r\n`;
    await say(
      "smtp",
      `HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<x>\r\nDATA\r\nSubject: x\r\n\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<x>\r\nDATA\r\n${long}QUIT\r\n`,
    );
    const messages = (await listening?.look(0, everything, signal)) ?? [];
    expect(messages.map(({ octets, size }) => [octets.length, size])).toEqual([[mostOctets, 1_000_027]]);
  });

  test.each([
    ["DATA without a recipient", "HELO x\r\nDATA\r\nQUIT\r\n", "220 250 250 250 250 503 221"],
    ["a verb that it does not know", "VRFY x\r\nQUIT\r\n", "220 502 221"],
    ["a line without an end", "x".repeat(5000), "220 500"],
  ])("is not confused by %s", async (_, words, replies) => {
    expect(await say("smtp", words)).toBe(replies);
  });

  test("tells where it cannot listen", async () => {
    await expect(openListener({ protocol: "smtp", host: "192.0.2.1", port: 25 }, () => 0)).rejects.toThrow(
      /^cannot listen at 192\.0\.2\.1:25: /,
    );
  });
});
