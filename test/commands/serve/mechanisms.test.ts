/** Which mechanisms a relay offers, after what its password file has and its configuration says. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { prepareRelay, type Relay } from "../../../demo/relay.mjs";
import { knock } from "./conversation.ts";

let relay: Relay | undefined;

afterEach(() => relay?.stop());

const unchallenged = "AUTH PLAIN LOGIN";
const every = `${unchallenged} SCRAM-SHA-256 SCRAM-SHA-256-PLUS SCRAM-SHA-1 SCRAM-SHA-1-PLUS CRAM-MD5`;

test.each([
  ["a hash", true, "$2y$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy", unchallenged],
  ["a password in clear", true, "{PLAIN}secret", every],
  ["a password in clear, where the site wants no challenges", false, "{PLAIN}secret", unchallenged],
])("what is offered for %s", async (_, allowed, stored, offered) => {
  relay = await prepareRelay(`[passwords]\nfile = "FOLDER/logins"\nchallenge-response = ${allowed}`);
  await writeFile(join(relay.folder, "logins"), `user1:${stored}\n`, { mode: 0o600 });
  await relay.start();
  const { talk } = await knock(relay.submissions, true);
  const said = await talk.say("EHLO client.example.org");
  talk.close();
  const line = /^250[- ](AUTH .*)$/m.exec(said)?.[1] ?? "";
  expect(line.split(" ").sort()).toEqual(offered.split(" ").sort());
});
