/** A disk whose fsync takes seconds, made by strace: who waits for it waits, and nobody else does. */
import { describe, expect, test } from "vitest";
import { startRelay } from "../../../demo/relay.mjs";
import { meddle } from "../../tools/meddle.ts";
import { real } from "../../tools/real.ts";
import { enter, note, submit } from "./conversation.ts";

describe.skipIf(!real("strace"))("an fsync that takes three seconds", () => {
  test("holds up the messages that need it, and no other session", { timeout: 120_000 }, async ({ skip }) => {
    const relay = await startRelay();
    try {
      const senders = await Promise.all([enter(relay), enter(relay), enter(relay)]);
      const onlooker = await enter(relay);
      const undo = await meddle(relay.pid, "fsync:delay_enter=3000000").catch((error: unknown) => {
        if (process.env["TPA_SUBMIT_INTEROP"] === "required") throw error;
        process.stderr.write(`\n*** SKIPPED, strace may not meddle: ${String(error)} ***\n`);
        return skip();
      });
      let promised = 0;
      const sending = senders.map(async (talk, number) => {
        await submit(talk, note(`slow ${String(number)}`));
        promised += 1;
      });
      for (const command of ["NOOP", "MAIL FROM:<user1@example.org>", "RCPT TO:<x@example.net>", "RSET"]) {
        expect(await onlooker.say(command)).toMatch(/^250 /);
      }
      const late = await enter(relay, "submissions"); // TLS, a login, and all
      expect(promised).toBe(0);
      await Promise.all(sending); // each of them hears 250 in the end
      await undo();
      await relay.logged(new RegExp(`${await submit(late, note("fast again"))}: removed`));
      for (const talk of [...senders, onlooker, late]) talk.close();
    } finally {
      await relay.stop();
    }
  });
});
