/** --arrive and what goes with it: from a command line to the plan's part. */
import { describe, expect, test } from "vitest";
import { look } from "./command-line.ts";

const basic = "-t bob@example.net -s mail.example.org";
const imap = `${basic} --arrive imaps://bob@imap.example.net/Work --arrive-password-file secret`;
const files = { secret: "hush\nmore\n", empty: "\n", key: "k".repeat(32), short: "k", "ca.pem": "PEM" };

async function arrivalOf(line: string, environment: Readonly<Record<string, string>> = {}): Promise<unknown> {
  const { outcome } = await look({ argv: line.split(" "), files, environment });
  if (outcome.kind === "mistake") return outcome.text;
  return outcome.kind === "run" ? outcome.plan.arrival : outcome.kind;
}

const minutes = 60_000;

describe("--arrive", () => {
  test("is nothing where it is not given", async () => {
    expect(await arrivalOf(basic)).toBeUndefined();
  });

  test("has its defaults", async () => {
    expect(await arrivalOf(imap)).toEqual({
      location: {
        kind: "imap",
        host: "imap.example.net",
        port: 993,
        implicitTls: true,
        user: "bob",
        folder: "Work",
      },
      password: "hush",
      timeout: minutes,
      warn: minutes,
      crit: minutes,
      keep: 7 * 24 * 60 * minutes,
      nagios: false,
    });
  });

  test("takes all that can be said", async () => {
    const line = `${imap} --arrive-timeout 5m --warn 20 --crit 2m --keep 1d --arrive-key key --arrive-ca ca.pem --arrive-spam-folder Bad --arrive-authority mx.example.net --nagios`;
    expect(await arrivalOf(line)).toMatchObject({
      timeout: 5 * minutes,
      warn: 20_000,
      crit: 2 * minutes,
      keep: 24 * 60 * minutes,
      key: Buffer.from("k".repeat(32)),
      ca: "PEM",
      spamFolder: "Bad",
      authority: "mx.example.net",
      nagios: true,
    });
  });

  test("takes the password from the environment, and needs none for a folder", async () => {
    const variable = { TPA_SUBMIT_ARRIVE_PASSWORD: "hushed" };
    expect(await arrivalOf(`${basic} --arrive imaps://bob@imap.example.net`, variable)).toMatchObject({
      password: "hushed",
    });
    expect(await arrivalOf(`${basic} --arrive maildir:/home/bob/Maildir`)).toMatchObject({
      location: { kind: "maildir", directory: "/home/bob/Maildir" },
      password: "",
    });
  });

  test.each([
    [`${basic} --warn 5s`, "*** --warn goes with --arrive, which says where to look"],
    [`${basic} --nagios`, "*** --nagios goes with --arrive, which says where to look"],
    [
      `${basic} --arrive imaps://bob@imap.example.net`,
      "*** --arrive: the mailbox wants a password: name a file with --arrive-password-file, or set $TPA_SUBMIT_ARRIVE_PASSWORD",
    ],
    [
      imap.replace("secret", "empty"),
      "*** --arrive-password-file: expected the password on the file's first line, found nothing there",
    ],
    [`${imap} --arrive-key short`, "*** --arrive-key: expected 32 octets or more, found 1"],
    [`${imap} --warn soon`, "*** --warn: expected a time such as 90s, 5m or 7d, found 'soon'"],
    [`${imap} --crit 2m`, "*** --crit: expected no more than --arrive-timeout, found more"],
    [`${imap} --warn 2m`, "*** --warn: expected no more than --crit, found more"],
    [`${imap} -q rcpt`, "*** --arrive wants a message that is sent: leave out --quit-after and --drop-after"],
    [`${imap} --messages 2`, "*** --arrive looks for one message: leave out --messages"],
    [`${imap} --nagios --json`, "*** --nagios and --json do not go together: leave one out"],
  ])("%s is a mistake", async (line, text) => {
    expect(await arrivalOf(line)).toBe(text);
  });

  test("says nothing of a password that stands in the place", async () => {
    const text = await arrivalOf(`${basic} --arrive imaps://bob:hush@imap.example.net`);
    expect(text).toMatch(/^\*\*\* --arrive: a password has no place in it/);
    expect(text).not.toContain("hush@");
  });
});
