/** INTEROP: the log that two hosts share, with their marks in queue IDs, as pflogsumm(1) counts it. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { type Relay, startRelay } from "../../demo/relay.mjs";
import { note, submitAlone } from "../commands/serve/conversation.ts";
import { runWell } from "../tools/child.mjs";
import { real } from "../tools/real.ts";

vi.setConfig({ testTimeout: 120_000 });

const relays: Relay[] = [];
afterEach(async () => {
  for (const relay of relays.splice(0)) await relay.stop();
});

test.skipIf(!real("pflogsumm"))("pflogsumm counts the mail of two hosts with marks", async () => {
  const marks = ["A", "7"];
  for (const mark of marks) {
    const relay = await startRelay(`[spool]\ndirectory = "FOLDER/spool"\nhost-mark = "${mark}"`);
    relays.push(relay);
    for (let count = 0; count < 3; count += 1) {
      const id = await submitAlone(relay, note(`${mark}${count}`));
      expect(id).toMatch(new RegExp(`^[0-9A-F]{11}${mark}$`));
      await relay.logged(new RegExp(`${id}: removed`));
    }
  }
  const file = join(relays[0]?.folder ?? "", "shared.log");
  await writeFile(file, relays.map((relay) => relay.log()).join(""));
  const counted = await runWell("pflogsumm", [file]);
  expect(counted).toMatch(/^ +6 +received$/m);
  expect(counted).toMatch(/^ +6 +delivered$/m);
  expect(counted).toMatch(/^ +0 +deferred/m);
});
