/**
 * What reads the log of a host, with the real things from the relay on: systemd-journald, rsyslog with both of its
 * stamps, fail2ban and nftables, mtail, pflogsumm, logwatch, postfix_exporter. The relay has no [log] in its settings.
 */
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { real } from "../tools/real.ts";
import { until } from "../tools/until.ts";
import {
  clientAddress,
  devLog,
  type LogHost,
  mailLog,
  realHost,
  startLogHost,
  traditionalLog,
} from "./log-host/host.ts";

const etc = join(import.meta.dirname, "..", "..", "etc");
const messages = 40;
const logs = [
  ["with RFC 3339 stamps", mailLog],
  ["with traditional stamps", traditionalLog],
] as const;

const shipped = "the jail in etc, on the journal";
const exporter = "127.0.0.1:9154";
const hasExporter = real("prometheus-postfix-exporter", "curl");

const jailDefaults = "[DEFAULT]\nbanaction = nftables\n[sshd]\nenabled = false\n";

/** Each with a client of its own, by the end of its address, and what an administrator writes into jail.local. */
const jails = [
  [shipped, 8, ""],
  [
    "Debian's jail postfix-sasl, on the journal",
    9,
    "[postfix-sasl]\nenabled = true\nbackend = systemd\njournalmatch = _SYSTEMD_UNIT=tpa-submit.service\n",
  ],
  ["Debian's jail postfix-sasl, on mail.log with RFC 3339 stamps", 10, "[postfix-sasl]\nenabled = true\n"],
  [
    "Debian's jail postfix-sasl, on mail.log with traditional stamps",
    11,
    `[postfix-sasl]\nenabled = true\nlogpath = ${traditionalLog}\n`,
  ],
] as const;

const count = (text: string, pattern: RegExp): number => [...text.matchAll(new RegExp(pattern, "gm"))].length;

describe.skipIf(!realHost())("on a host with systemd", () => {
  let started: LogHost | undefined;
  let metrics = "";

  const host = (): LogHost => {
    if (started === undefined) throw new Error("there is no host");
    return started;
  };

  const fileHas = (file: string, pattern: RegExp, times: number): Promise<string> =>
    until(`${times} lines like ${String(pattern)} in ${file}`, async () => {
      const text = await host().run("cat", file);
      return count(text, pattern) >= times ? text : undefined;
    });

  beforeAll(async () => {
    started = await startLogHost();
    const { relay, client, startRelay, run, start } = started;
    await startRelay();
    if (hasExporter) {
      await fileHas(mailLog, / started as /, 1);
      // It reads what comes from now on.
      start(
        "prometheus-postfix-exporter",
        `--web.listen-address=${exporter}`,
        `--postfix.logfile_path=${mailLog}`,
      );
      await whenUp(() => run("curl", "-sf", `http://${exporter}/metrics`));
    }
    await client("guess", clientAddress(7), "3");
    await client("send", clientAddress(7), String(messages), relay.login, join(relay.folder, "password"));
    for (const [, file] of logs) await fileHas(file, /: removed$/, messages);
    metrics = await run("curl", "-s", "http://127.0.0.1:9587/metrics");
  }, 120_000);

  afterAll(async () => {
    await started?.stop();
  }, 60_000);

  /** Entries of the relay in the journal. */
  async function entries(): Promise<readonly Readonly<Record<string, string>>[]> {
    const text = await host().run("journalctl", "-o", "json", "_SYSTEMD_UNIT=tpa-submit.service");
    return text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, string>);
  }

  describe("the journal", () => {
    test("has each line under its program's name, with its level and without a second date and host", async () => {
      const all = await entries();
      expect(all.length).toBeGreaterThan(5 * messages);
      for (const entry of all) {
        expect(entry["SYSLOG_IDENTIFIER"]).toMatch(
          /^postfix\/(?:submission\/smtpd|cleanup|qmgr|smtp|master)$/,
        );
        expect(entry["MESSAGE"]).not.toMatch(/relay\.example\.org postfix|^\w{3} [ \d]\d \d\d:\d\d:\d\d /);
        expect(entry["SYSLOG_FACILITY"]).toBe("2");
      }
      const warnings = all.filter(({ PRIORITY }) => PRIORITY === "4").map(({ MESSAGE }) => MESSAGE ?? "");
      expect(warnings.filter((text) => text.includes("SASL PLAIN authentication failed")).length).toBe(3);
    });

    test("has the lines of each message in order, and all of them", async () => {
      const { relay, client } = host();
      const from = (await entries()).length;
      await client("send", clientAddress(7), "400", relay.login, join(relay.folder, "password"));
      const texts = await until("the last message", async () => {
        const all = (await entries()).slice(from).map(({ MESSAGE }) => MESSAGE ?? "");
        return all.filter((text) => text.endsWith(": removed")).length === 400 ? all : undefined;
      });
      const stories = storiesOf(texts);
      expect(stories.size).toBe(400);
      for (const [id, story] of stories) expect(story, id).toEqual([0, 1, 2, 3, 4]);
      expect(texts.join("\n")).not.toMatch(/the log cannot be written|could not be written and are lost/);
    });
  });

  describe.each(logs)("of rsyslog, mail.log %s", (_, file) => {
    test("has one date and one host a line", async () => {
      const lines = (await host().run("cat", file)).trimEnd().split("\n");
      const stamp =
        file === mailLog ? "\\d{4}-\\d\\d-\\d\\dT[\\d:.]+\\+\\d\\d:\\d\\d" : "\\w{3} [ \\d]\\d [\\d:]{8}";
      const whole = new RegExp(`^${stamp} \\S+ postfix/[a-z/]+\\[\\d+\\]: (?!\\w{3} [ \\d]\\d \\d\\d:)`);
      expect(lines.filter((line) => !whole.test(line))).toEqual([]);
    });

    test.skipIf(!real("mtail"))("is counted by the mtail program in etc as by /metrics", async () => {
      const own = join(host().folder, "first.log");
      const text = await host().run("head", "-n", String(firstLines(await host().run("cat", file))), file);
      writeFileSync(own, text);
      const words = [
        "--progs",
        join(etc, "mtail"),
        "--logs",
        own,
        "--one_shot",
        "--one_shot_format=prometheus",
      ];
      const counted = figures(await host().run("mtail", ...words));
      const exported = figures(metrics);
      expect(counted.get("postfix_smtpd_sasl_authentication_failures_total")).toBe(3);
      expect(counted.get('postfix_smtp_messages_processed_total{status="sent"}')).toBe(messages);
      expect(counted.get("postfix_qmgr_messages_inserted_size_bytes_count")).toBe(messages);
      expect(counted.size).toBeGreaterThan(40);
      // Who asks for the metrics ends a connection later; the log rounds delays; mtail writes bounds in its own way.
      const moving = /_connects_total|_disconnects_total|_delay_seconds_(?:sum|bucket)|_size_bytes_bucket/;
      const other = [...counted].filter(
        ([name, figure]) => !moving.test(name) && exported.get(name) !== figure,
      );
      expect(other).toEqual([]);
    });

    test.skipIf(!real("pflogsumm"))("is added up by pflogsumm", async () => {
      const text = await host().run("pflogsumm", file);
      const totals = Object.fromEntries(
        [...text.matchAll(/^ +(\d+) {2,3}(received|delivered|bounced)\b/gm)].map(([, figure, what]) => [
          what,
          figure,
        ]),
      );
      const all = count(await host().run("cat", file), /: removed$/);
      expect(all).toBeGreaterThanOrEqual(messages);
      expect(totals).toEqual({ received: String(all), delivered: String(all), bounced: "0" });
    });

    test.skipIf(!real("logwatch"))("is summed up by logwatch", async () => {
      const words = ["--service", "postfix", "--range", "all", "--archives", "no", "--detail", "10"];
      await host().run("sh", "-c", `test ${file} = ${mailLog} || cp ${file} /var/log/syslog`);
      const text = await host().run("logwatch", ...words, "--logfile", "maillog", "--output", "stdout");
      const all = count(await host().run("cat", file), /: removed$/);
      expect(text).toMatch(new RegExp(`^ +${all} +Accepted`, "m"));
      expect(text).toMatch(/SASL authentication failed/);
      // What Postfix never says, and so nobody sums up.
      const [, unmatched = ""] = text.split("**Unmatched Entries**");
      const strange = [...unmatched.matchAll(/ postfix\/\S+\[\d+\]: .*/g)].map(([line]) => line);
      expect(strange.filter((line) => !/\/master\[|authentication succeeded/.test(line))).toEqual([]);
    });
  });

  test.skipIf(!hasExporter)("postfix_exporter counts what is in mail.log", async () => {
    const text = await host().run("cat", mailLog);
    const all = count(text, /: removed$/);
    const exported = await until("its figures", async () => {
      const metrics = await host()
        .run("curl", "-s", `http://${exporter}/metrics`)
        .catch(() => ""); // it may be starting
      const now = figures(metrics);
      return now.get("postfix_qmgr_messages_removed_total") === all ? now : undefined;
    });
    // Of "postfix/submission/smtpd" this version reads nothing, whoever writes it.
    expect(Object.fromEntries(exported)).toMatchObject({
      postfix_cleanup_messages_processed_total: all,
      postfix_qmgr_messages_inserted_size_bytes_count: all,
    });
    const stages = [...exported].filter(([name]) =>
      name.startsWith("postfix_smtp_delivery_delay_seconds_count"),
    );
    expect(stages.reduce((sum, [, figure]) => sum + figure, 0)).toBe(4 * all);
  });

  describe.each(jails)("fail2ban, %s", (name, client, jail) => {
    test.skipIf(!real("fail2ban-server", "nft", "python3 systemd"))(
      "bans a client that guesses and nobody else, until its ban ends",
      async () => {
        const { folder, run, start, client: clients } = host();
        const config = join(folder, `fail2ban-${client}`);
        cpSync("/etc/fail2ban", config, { recursive: true });
        if (name === shipped) cpSync(join(etc, "fail2ban"), config, { recursive: true });
        // Its database is that of the machine.
        writeFileSync(join(config, "fail2ban.local"), "[DEFAULT]\ndbfile = None\nlogtarget = STDOUT\n");
        writeFileSync(join(config, "jail.local"), `${jailDefaults}\n${jail}`);
        const words = ["-c", config, "-s", "/run/fail2ban.sock", "-p", "/run/fail2ban.pid"];
        const server = start("fail2ban-server", "-f", ...words);
        const ask = (...question: readonly string[]) => run("fail2ban-client", ...words, ...question);
        try {
          // It answers before it has its jails.
          const [of = ""] = await until(
            "the jail",
            async () => /(?<=Jail list:\s+)\S+/.exec(await whenUp(() => ask("status"))) ?? undefined,
          );
          const [guesser, other] = [clientAddress(client), clientAddress(12)];
          expect(await clients("reach", guesser)).toEqual(["250"]);
          expect(await clients("guess", guesser, "5")).toEqual(Array.from({ length: 5 }, () => "535"));
          await until("the ban", async () =>
            (await ask("status", of)).includes(guesser) ? true : undefined,
          );
          await until("the closed door", async () =>
            (await clients("reach", guesser))[0] === "250" ? undefined : true,
          );
          expect(await clients("reach", other)).toEqual(["250"]);
          await ask("set", of, "unbanip", guesser);
          expect(await clients("reach", guesser)).toEqual(["250"]);
        } finally {
          await run("fail2ban-client", ...words, "stop");
          await server.stop(true);
        }
      },
      120_000,
    );
  });

  test("socket:/dev/log leads to rsyslog, in order, and past the journal", async () => {
    const { run, startRelay, stopRelay, client, relay } = host();
    await stopRelay();
    const before = (await entries()).length;
    const lines = count(await run("cat", mailLog), /^/);
    await startRelay(`[log]\ntarget = "socket:${devLog}"\n`);
    await client("send", clientAddress(7), "40", relay.login, join(relay.folder, "password"));
    const text = await until("the lines", async () => {
      const fresh = (await run("tail", "-n", `+${lines}`, mailLog)).trimEnd();
      return count(fresh, /: removed$/) >= 40 ? fresh : undefined;
    });
    const stories = storiesOf(
      text.split("\n").map((line) => line.replace(/^\S+ \S+ postfix\/[a-z/]+\[\d+\]: /, "")),
    );
    expect(stories.size).toBe(40);
    for (const [id, story] of stories) expect(story, id).toEqual([0, 1, 2, 3, 4]);
    expect((await entries()).length).toBe(before);
  });

  describe("the journal, started anew", () => {
    beforeAll(async () => {
      await host().stopRelay();
      await host().startRelay();
    });
    test("takes the log again after an end of journald", async () => {
      const { run, start, relay, client } = host();
      await run("pkill", "-KILL", "-x", "systemd-journal");
      start("/lib/systemd/systemd-journald");
      const from = (await entries()).length;
      await client("send", clientAddress(7), "4", relay.login, join(relay.folder, "password"));
      await until("lines after the restart", async () => {
        const text = (await entries()).slice(from).map(({ MESSAGE }) => MESSAGE ?? "");
        return text.filter((line) => line.endsWith(": removed")).length > 0 ? true : undefined;
      });
    });
  });
});

/** What happened to each message, as places in the order of things; only for lines of messages. */
function storiesOf(texts: readonly string[]): ReadonlyMap<string, readonly number[]> {
  const steps = [/: client=/, /: message-id=</, /: from=</, /, status=sent /, /: removed$/];
  const stories = new Map<string, number[]>();
  for (const text of texts) {
    const [, id] = /^([0-9A-F]{10,12}): /.exec(text) ?? [];
    if (id !== undefined)
      stories.set(id, [...(stories.get(id) ?? []), steps.findIndex((step) => step.test(text))]);
  }
  return stories;
}

/** Lines up to the last one of the first messages. */
function firstLines(text: string): number {
  const lines = text.split("\n");
  let removed = 0;
  return (
    lines.findIndex((line) => {
      if (line.endsWith(": removed")) removed += 1;
      return removed === messages;
    }) + 1
  );
}

/** What `ask` answers, once it does. */
const whenUp = (ask: () => Promise<string>): Promise<string> =>
  until("an answer", () => ask().catch(() => undefined));

/** Prometheus' text as figures by name and labels, without the label that mtail adds. */
function figures(text: string): ReadonlyMap<string, number> {
  return new Map(
    [...text.matchAll(/^(\w+)(?:\{([^}]*)\})? ([\d.e+]+)$/gm)].map(([, name = "", labels = "", figure]) => {
      const own = labels.split(",").filter((label) => label !== "" && !label.startsWith("prog="));
      return [own.length === 0 ? name : `${name}{${own.sort().join(",")}}`, Number(figure)];
    }),
  );
}
