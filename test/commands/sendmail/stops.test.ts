/**
 * The real relay takes a message out of the maildrop and is stopped by SIGKILL exactly before and after each thing that it
 * does to the disk meanwhile: after the next start the message is there once.
 */
import { chmod, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { viewSpool } from "../../../src/server/spool/spool.ts";
import { runWell } from "../../tools/child.mjs";
import { until } from "../../tools/until.ts";

const deadly = fileURLToPath(new URL("deadly.mjs", import.meta.url));

/** Nobody listens there, so all that is accepted stays in the spool and can be counted. */
async function prepared(journal: boolean): Promise<Relay> {
  const relay = await prepareRelay(`[listen]
submission = ["127.0.0.1:0"]
submissions = ["127.0.0.1:0"]
http = ""
local = "FOLDER/local"
[sendmail]
maildrop = "FOLDER/maildrop"
[spool]
directory = "FOLDER/spool"
journal = ${journal}
[delivery]
relay = "smtp://127.0.0.1:9"
retry-first = "1h"
`);
  await chmod(relay.folder, 0o755);
  await mkdir(join(relay.folder, "maildrop"));
  await chmod(join(relay.folder, "maildrop"), 0o3777);
  return relay;
}

const drops = async (relay: Relay): Promise<readonly string[]> =>
  (await readdir(join(relay.folder, "maildrop"))).filter((name) => !name.startsWith("."));

async function put(relay: Relay, subject: string): Promise<void> {
  await runWell(
    process.execPath,
    [program, "sendmail", "a@example.net"],
    `Subject: ${subject}\n\nA line.\n`,
    { TPA_SUBMIT_MAILDROP: join(relay.folder, "maildrop") },
  );
}

/** What the relay did from the moment at which it opened the file, while it lived. */
const acts = (log: string): readonly string[] =>
  [...log.matchAll(/deadly \d+: (\w+)/g)].map(([, what = ""]) => what);

/** Puts a message there and starts a relay that dies at the step; false where there is no such step. */
async function dies(relay: Relay, subject: string, step: string): Promise<boolean> {
  await put(relay, subject);
  relay.environment = { NODE_OPTIONS: `--import=${deadly}`, TPA_SUBMIT_DEADLY: step };
  await relay.start().catch(() => undefined); // it may die before it has started
  const ended = await until("the relay to die, or to be done", async () => {
    if (/status=deferred/.test(relay.log()) && (await drops(relay)).length === 0) return "done";
    const end = await Promise.race([relay.ended, pause(20, undefined)]);
    return end?.signal === "SIGKILL" ? "dead" : undefined;
  });
  if (ended === "done") {
    relay.signal("SIGKILL");
    await relay.ended;
  }
  return ended === "dead";
}

async function subjectsIn(relay: Relay): Promise<readonly string[]> {
  const spool = await viewSpool(join(relay.folder, "spool"));
  const subjects: string[] = [];
  for (const id of await spool.ids()) {
    subjects.push(/Subject: (.*)\r\n/.exec((await spool.bodyStart(id, 2_000)).toString())?.[1] ?? id);
  }
  return subjects.toSorted();
}

test.each([
  ["with a journal", true],
  ["with a file for each message", false],
])(
  "a stop at each step of the pickup neither loses nor doubles a message: %s",
  async (_, journal) => {
    const relay = await prepared(journal);
    const wanted: string[] = [];

    /** Whether the relay died there. However that was: it starts again, and then the message is there once. */
    async function stopAt(step: string): Promise<boolean> {
      wanted.push(step);
      const died = await dies(relay, step, step);
      relay.environment = {};
      await relay.start();
      await until("the maildrop to be empty", async () =>
        (await drops(relay)).length === 0 ? true : undefined,
      );
      relay.signal("SIGKILL"); // what it has done is on the disk; nothing waits for an end
      await relay.ended;
      expect(await subjectsIn(relay)).toEqual(wanted.toSorted());
      return died;
    }

    try {
      // Without a stop, to see what there is: the first time the journal is made, which is of no interest here. Before a
      // step is after the one in front of it, but for what runs beside it.
      for (const time of ["first", "second"]) {
        wanted.push(time);
        expect(await dies(relay, time, "before 10000")).toBe(false);
      }
      const steps = acts(relay.log());
      expect(steps).toContain("unlink"); // of the drop
      // What runs beside it may shift the others by a step, so that the last ones of a start may not be there at another.
      const stopped: boolean[] = [];
      for (const [index, act] of steps.entries()) {
        await stopAt(`before ${index + 1}`);
        if (act === "unlink") stopped.push(await stopAt(`after ${index + 1}`));
      }
      expect(stopped).toContain(true);
    } finally {
      await relay.stop();
    }
  },
  400_000,
);
