/** A relay with filters: what its operator sees of them. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { program, type Relay, startRelay } from "../../../demo/relay.mjs";
import { everything, type FakeMilter, fakeMilter, type Script } from "../../server/submission/milter/fake.ts";
import { run } from "../../tools/child.mjs";
import { check, expectFinding } from "../check/checked.ts";
import { enter, note, submit, submitAlone } from "./conversation.ts";

let relay: Relay;
let fakes: FakeMilter[] = [];
afterEach(async () => {
  await relay?.stop();
  await Promise.all(fakes.map((fake) => fake.close()));
  fakes = [];
});

async function filterOf(script: Script): Promise<FakeMilter> {
  const fake = await fakeMilter(script);
  fakes.push(fake);
  return fake;
}

const table = (name: string, { address: { port } }: FakeMilter, more = ""): string =>
  `[[milter]]\nname = "${name}"\naddress = "inet:127.0.0.1:${port}"\n${more}\n`;

async function said(...words: readonly string[]): Promise<string> {
  const { stdout, stderr } = await run(process.execPath, [program, ...words, "--config", relay.config]);
  return stdout + stderr;
}

describe("a filter that holds a message", () => {
  test("is named in the log, the list, the message's page, its trace and the metrics; release sends it", async () => {
    const fake = await filterOf({ options: everything, says: { E: [["q not before Monday", "c"]] } });
    relay = await startRelay(
      `[listen]\nsubmission = ["127.0.0.1:0"]\nsubmissions = ["127.0.0.1:0"]\nhttp = "127.0.0.1:0"\n${table("archive", fake)}`,
    );
    const id = await submitAlone(relay, note("held"));
    await relay.logged(
      new RegExp(
        `postfix/cleanup\\[\\d+\\]: ${id}: milter archive: held in \\d+\\.\\d{3} seconds, client=unknown\\[127\\.0\\.0\\.1\\]: not before Monday`,
      ),
    );
    expect(await said("queue", "list")).toMatch(new RegExp(`${id}\\s+held .*not before Monday`));
    expect(await said("queue", "show", id)).toContain("by milter archive: not before Monday");
    const [, port = ""] = await relay.logged(/listening for http on 127\.0\.0\.1:(\d+)/);
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    expect(metrics).toContain('tpa_submit_milter_messages_total{milter="archive",verdict="held"} 1');
    expect(metrics).toContain('tpa_submit_milter_seconds_count{milter="archive"} 1');
    await said("queue", "release", "--yes", id);
    await relay.logged(new RegExp(`${id}: removed`));
    await vi.waitFor(
      async () =>
        expect(await said("trace", id)).toContain("the filter archive wants it held: not before Monday"),
      { timeout: 10_000, interval: 300 }, // the history is about a second behind
    );
  });
});

describe("a filter that is away", () => {
  test("puts mail off, and a reload takes it out", async () => {
    const fake = await filterOf({ options: everything });
    relay = await startRelay(table("scanner", fake));
    await fake.close();
    fakes = [];
    const talk = await enter(relay, "submissions");
    await expect(submit(talk, note("away"))).rejects.toThrow(
      "451 4.7.1 the filter scanner of this server is away, please try again later",
    );
    await relay.logged(
      /milter scanner is away, when-away=tempfail, client=unknown\[127\.0\.0\.1\]: .*ECONNREFUSED/,
    );
    talk.close();
    await relay.configure("");
    relay.signal("SIGHUP");
    await relay.logged(/passwords re-read/);
    const id = await submitAlone(relay, note("without"));
    await relay.logged(new RegExp(`${id}: removed`));
  });

  test("is found by check, with its consequence; one that answers says what it would do", async () => {
    const [one, other] = [
      await filterOf({ options: [6, 0x31, 0] }),
      await filterOf({ begins: Buffer.from("220 mx ESMTP\r\n") }),
    ];
    relay = await startRelay(
      `${table("archive", one)}${table("smtp", other)}${table("lenient", other, 'when-away = "accept"')}`,
    );
    const checked = await check(relay, ["--mx", "nowhere.invalid"]);
    expectFinding(
      checked,
      [
        "milters",
        "ok",
        /archive: inet:127\.0\.0\.1:\d+ answers, protocol 6, may add headers, change headers, hold messages$/,
      ],
      relay,
    );
    expectFinding(
      checked,
      ["milters", "failed", /smtp: inet:\S+: it announced a frame of \d+ octets; when-away is "tempfail"/],
      relay,
    );
    expectFinding(checked, ["milters", "warning", /lenient: .*; when-away is "accept"/], relay);
  });
});

describe("a filter at a Unix socket", () => {
  test("that is no socket is away", async () => {
    relay = await startRelay('[[milter]]\nname = "file"\naddress = "unix:FOLDER/file"\nwhen-away = "accept"');
    await writeFile(join(relay.folder, "file"), "");
    const id = await submitAlone(relay, note("file"));
    await relay.logged(/milter file is away, when-away=accept, .*ECONNREFUSED/);
    await relay.logged(new RegExp(`${id}: removed`));
  });
});
