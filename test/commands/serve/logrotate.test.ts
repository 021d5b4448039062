/** The log in a file, rotated by the real logrotate. */
import { readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { runWell, start } from "../../tools/child.mjs";
import { real } from "../../tools/real.ts";
import { until } from "../../tools/until.ts";
import { note, submitAlone } from "./conversation.ts";

const shipped = readFileSync(join(import.meta.dirname, "../../../etc/logrotate/tpa-submit"), "utf8");

describe.skipIf(!real("logrotate"))("the log in a file, and logrotate", () => {
  let relay: Relay | undefined;
  let child: ReturnType<typeof start> | undefined;
  afterEach(async () => {
    await child?.stop();
    await relay?.stop();
  });

  /** The file of etc for this file, this user and this process; `lines` stand in place of what tells the relay. */
  async function rotate(folder: string, pid: number, lines?: string): Promise<void> {
    const telling = `\tpostrotate\n\t\tkill -HUP ${pid}\n\tendscript\n`;
    const mine = shipped
      .replaceAll("/var/log/tpa-submit", folder)
      .replace(/^\tsu .*\n/gm, "")
      .replace(/^\tcreate .*$/gm, "\tcreate 0640")
      .replace(/^\tpostrotate\n[\s\S]*endscript\n/m, lines ?? telling);
    const config = join(folder, "logrotate.conf");
    await writeFile(config, mine, { mode: 0o600 });
    await runWell("logrotate", ["--force", "--state", join(folder, "logrotate.state"), config]);
  }

  async function started(): Promise<{
    readonly running: Relay;
    readonly file: string;
    readonly pid: number;
  }> {
    const running = await prepareRelay('[log]\ntarget = "file:FOLDER/mail.log"');
    relay = running;
    const file = join(running.folder, "mail.log");
    child = start(process.execPath, [program, "serve", "--config", running.config]);
    const text = await until("the relay", async () => {
      const said = await readFile(file, "utf8").catch(() => "");
      return / started as /.test(said) ? said : undefined;
    });
    running.submissions = Number(/listening for submissions on \S+:(\d+)/.exec(text)?.[1]);
    return { running, file, pid: child.pid };
  }

  test("as etc has it: the relay goes on in the new file, and no line is lost", async () => {
    const { running, file, pid } = await started();
    const ids = [await submitAlone(running, note("before"))];
    const busy = Array.from({ length: 20 }, (_, index) => submitAlone(running, note(`meanwhile ${index}`)));
    await rotate(running.folder, pid);
    ids.push(...(await Promise.all(busy)));
    await until("the new file", async () => / re-read$/m.test(await readFile(file, "utf8")) || undefined);
    const last = await submitAlone(running, note("after"));
    ids.push(last);
    const [now, before] = await until("the end of the last message", async () => {
      const both = [await readFile(file, "utf8"), await readFile(`${file}.1`, "utf8")] as const;
      return ids.every((id) => both.join("").includes(`: ${id}: removed\n`)) ? both : undefined;
    });
    expect(now).toContain(`: ${last}: client=`);
    expect(before).not.toContain(last);
    for (const id of ids)
      expect([...`${before}${now}`.matchAll(new RegExp(`: ${id}: `, "g"))].length, id).toBe(5);
    expect(child?.output()).toBe("");
  });

  test("with copytruncate: the relay goes on at the beginning, without a hole", async () => {
    const { running, file, pid } = await started();
    const first = await submitAlone(running, note("before"));
    await until(
      "its end",
      async () => (await readFile(file, "utf8")).includes(`: ${first}: removed`) || undefined,
    );
    await rotate(running.folder, pid, "\tcopytruncate\n");
    const last = await submitAlone(running, note("after"));
    const now = await until("the line", async () => {
      const text = await readFile(file, "utf8");
      return text.includes(`: ${last}: removed`) ? text : undefined;
    });
    expect(now).toMatch(/^\w{3} [ \d]\d /);
    expect(now).not.toMatch(/\0/);
    expect(await readFile(`${file}.1`, "utf8")).toContain(`: ${first}: removed`);
  });
});
