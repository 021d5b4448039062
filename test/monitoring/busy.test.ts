/**
 * Every expression of the dashboard and of the alerts against what a busy relay, its sync and its probes export: each
 * finds a series. By the rows of the scrapes, and by the real Prometheus, which scrapes the same and is asked.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { prepareRelay, program, type Relay } from "../../demo/relay.mjs";
import {
  authPlain,
  expecting,
  greet,
  knock,
  note,
  submit,
  submitAlone,
} from "../commands/serve/conversation.ts";
import { manager, people, person, reader, type Slapd, slapdPrograms, startSlapd } from "../ldap/slapd.ts";
import { type Cluster, startCluster } from "../postgres/cluster.ts";
import { pairs } from "../server/delivery/dkim/site.ts";
import { everything, type FakeMilter, fakeMilter } from "../server/submission/milter/fake.ts";
import { runWell } from "../tools/child.mjs";
import { type NameServer, nameServer } from "../tools/dns.ts";
import { type FakeServer, fakeServer } from "../tools/fakeserver.ts";
import { freePort } from "../tools/port.mjs";
import { pathOf, real } from "../tools/real.ts";
import { until } from "../tools/until.ts";

const root = join(import.meta.dirname, "..", "..");

/** With what Grafana puts in for its variables; there is less to look back at than on a real day. */
const filled = (expression: string): string =>
  expression
    .replaceAll(/\$(?:instance|target)/g, ".*")
    .replaceAll("$__rate_interval", "1m")
    .replaceAll(/\[\d+[mh]\]/g, "[1m]");

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

interface Named {
  readonly name: string;
  readonly expression: string;
}

async function dashboard(): Promise<readonly Named[]> {
  const { panels, templating } = JSON.parse(
    await readFile(join(root, "etc/grafana/tpa-submit.json"), "utf8"),
  ) as {
    readonly panels: readonly Panel[];
    readonly templating: { readonly list: readonly { readonly definition?: string }[] };
  };
  const variables = templating.list.flatMap(({ definition }) => {
    const [, name] = /^label_values\((\w+), \w+\)$/.exec(definition ?? "") ?? [];
    return name === undefined ? [] : [{ name: "a variable", expression: name }];
  });
  return panels
    .flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }) => ({ name: title, expression: filled(expr) })),
    )
    .concat(variables);
}

async function alerts(): Promise<readonly Named[]> {
  const rules = await readFile(join(root, "etc/prometheus/tpa-submit.rules.yml"), "utf8");
  const found = rules.matchAll(/- alert: (\w+)\n {8}expr: (?:\|\n((?: {10}.*\n)+)|(.*)\n)/g);
  return [...found].map(([, name = "", block, line]) => ({ name, expression: filled(block ?? line ?? "") }));
}

/** What an expression asks for: `name{label="value"}`. */
const selectors = (expression: string): readonly string[] =>
  [...expression.matchAll(/\b(?:(?:tpa_submit|postfix|process)_[a-z_]+|up\b)(?:\{[^}]*\})?/g)].map(
    ([text]) => text,
  );

type Labels = Readonly<Record<string, string>>;

/** The series of a scrape, each with its name as a label. */
function seriesIn(text: string, job: string): readonly Labels[] {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line) => {
    const [, name = "", labels = ""] = /^(\w+)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
    return {
      ...{ name, job, instance: "relay" },
      ...Object.fromEntries(pairs.map(([, label, value]) => [label, value])),
    };
  });
}

/** Prometheus' matchers; a label that is missing is "". */
function fits(series: Labels, selector: string): boolean {
  const [, name, matchers = ""] = /^(\w+)(?:\{(.*)\})?$/.exec(selector) ?? [];
  if (series["name"] !== name) return false;
  return [...matchers.matchAll(/(\w+)(=~|!~|!=|=)"([^"]*)"/g)].every(([, label = "", how, value = ""]) => {
    const found = series[label] ?? "";
    const isEqual = how === "=~" || how === "!~" ? new RegExp(`^(?:${value})$`).test(found) : found === value;
    return how === "=" || how === "=~" ? isEqual : !isEqual;
  });
}

describe.skipIf(!real(...slapdPrograms, "prometheus", "postgresql"))("beside a busy relay", () => {
  let folder = "";
  let slapd: Slapd | undefined;
  let names: NameServer | undefined;
  let relay: Relay;
  let sharing: Relay | undefined;
  let cluster: Cluster | undefined;
  let prometheus = "";
  const hops: FakeServer[] = [];
  const filters: FakeMilter[] = [];
  const children: ChildProcess[] = [];
  const scraped: Labels[] = [];
  const textfile = createServer((_, response) => {
    void readFile(join(folder, "propagation.prom"), "utf8").then(
      (text) => response.end(text),
      () => response.end(""),
    );
  });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-busy-"));
    await chmod(folder, 0o700);
    const doors = await live();
    for (const [job, address] of doors) {
      const answer = await fetch(`http://${address}/metrics`);
      scraped.push(...seriesIn(await answer.text(), job));
    }
    prometheus = await startPrometheus(doors);
    // rate() and increase() need two samples.
    await until("three scrapes", async () => {
      const times = await ask("min(count_over_time(tpa_submit_healthy[1m]))");
      return Number(times[0]?.value[1] ?? 0) >= 3 || undefined;
    });
  }, 180_000);
  afterAll(async () => {
    for (const child of children) {
      const ended = once(child, "close");
      if (child.kill("SIGTERM")) await ended;
    }
    await relay?.stop();
    await sharing?.stop();
    await cluster?.close();
    for (const hop of [...hops, ...filters]) await hop.close();
    await names?.close();
    await slapd?.remove();
    textfile.close();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }, 60_000);

  const put = (name: string, text: string) => writeFile(join(folder, name), text, { mode: 0o600 });

  /** Runs all of it; gives the job of each that exports, and where. */
  async function live(): Promise<readonly (readonly [job: string, address: string])[]> {
    const [gmail, other] = ["127.0.0.2", "127.0.0.3"];
    const port = await freePort(gmail, other);
    names = await nameServer(
      new Map([
        ["gmail.com", { mx: [[5, "gmail-smtp-in.l.google.com"]] }],
        ["gmail-smtp-in.l.google.com", { a: [gmail] }],
        ["example.net", { mx: [[10, "mx.example.net"]] }],
        ["mx.example.net", { a: [other] }],
      ]),
    );
    hops.push(
      await fakeServer(
        {
          RCPT: (to) =>
            to.includes("late") ? "421 4.7.28 unusual rate of unsolicited mail - gsmtp" : "250 2.1.5 ok",
        },
        { at: { host: gmail, port } },
      ),
    );
    const elsewhere = await fakeServer(
      { RCPT: (to) => (to.includes("nobody") ? "550 5.1.1 no such user" : "250 2.1.5 ok") },
      { at: { host: other, port } },
    );
    hops.push(elsewhere);

    await put("reader", reader.password);
    await put("admin", manager.password);
    await keysAndDomain();
    const filter = await fakeMilter({ options: everything });
    filters.push(filter);
    relay = await prepareRelay(
      `[listen]\nsubmission = ["127.0.0.1:0"]\nsubmissions = ["127.0.0.1:0"]\nhttp = "127.0.0.1:0"
[delivery]\nrelay = "mx"\nnameservers = ["${names.address}"]\nport = ${port}\nprivate-addresses = true\nmta-sts = false
[limits]\nmessages-per-hour = 6
[dkim]\nfolder = "${folder}/dkim"
[[milter]]\nname = "scanner"\naddress = "inet:127.0.0.1:${filter.address.port}"
[[domains]]\nname = "example.com"\npassword-file = "${folder}/com-passwords"\n`,
    );
    const hash = `mailPassword: {PLAIN}${relay.password}`;
    slapd = await startSlapd({
      entries:
        ["user1", "user2", "probe", "changed"].map((login) => person(login, hash)).join("") + person("none"),
    });
    const directory = (secret: string, dn: string) => `[ldap]
url = "${slapd?.ldaps ?? ""}"\nca = "${slapd?.ca ?? ""}"\nbase = "${people}"
bind-dn = "${dn}"\nbind-password-file = "${join(folder, secret)}"
[sync]\ninterval = "1s"\nhttp = "127.0.0.1:0"\n`;
    await relay.start();
    await put(
      "sync.toml",
      `hostname = "relay.example.org"\ndomain = "example.org"\n[passwords]\nfile = "${relay.folder}/mail-passwords"\n${directory("reader", reader.dn)}`,
    );
    await put(
      "propagation.toml",
      `hostname = "relay.example.org"\ndomain = "example.org"\n${directory("admin", manager.dn)}`,
    );
    const sync = await listening(
      ["sync", "--watch", "--config", join(folder, "sync.toml")],
      /metrics on http:\/\/([\d.:]+)\//,
    );
    const [, http = ""] = await relay.logged(/listening for http on (127\.0\.0\.1:\d+)/);
    await until(
      "the logins of the directory",
      async () =>
        (await (await fetch(`http://${http}/metrics`)).text()).includes("tpa_submit_logins 5\n") || undefined,
    );

    await busy();
    await fromOtherDomain();
    await runWell(process.execPath, [program, "login", "freeze", "user2", "--config", relay.config]);
    const frozen = await greet(relay);
    await expecting("525", frozen.say(authPlain("user2", relay.password)));
    frozen.close();

    const monitor = await probing(elsewhere);
    await put("password", relay.password);
    await runWell(process.execPath, [
      ...[
        program,
        "probe",
        "propagation",
        "--config",
        join(folder, "propagation.toml"),
        "--ca",
        relay.certificate,
      ],
      ...["--server", `smtps://localhost:${relay.submissions}`, "--interval", "1s", "--login", "changed"],
      ...["--password-file", join(folder, "password"), "--prometheus", join(folder, "propagation.prom")],
    ]);
    textfile.listen(0, "127.0.0.1");
    await once(textfile, "listening");
    const { port: textPort } = textfile.address() as AddressInfo;
    return [
      ["tpa-submit", http],
      ["tpa-submit-shared", await withDatabase()],
      ["tpa-submit-sync", sync],
      ["tpa-submit-probe", monitor],
      ["node", `127.0.0.1:${textPort}`],
    ];
  }

  /** A second relay, whose queue is in a database. Gives where its metrics are. */
  async function withDatabase(): Promise<string> {
    cluster = await startCluster();
    sharing = await prepareRelay(
      `[listen]\nsubmission = ["127.0.0.1:0"]\nsubmissions = ["127.0.0.1:0"]\nhttp = "127.0.0.1:0"
[spool]\ndirectory = "FOLDER/spool"\nstore = "${await cluster.database()}"\n`,
    );
    await sharing.start();
    await submitAlone(sharing, note("shared"));
    const [, http = ""] = await sharing.logged(/listening for http on (127\.0\.0\.1:\d+)/);
    return http;
  }

  /** A key of the main domain; the other has a login, and none. */
  async function keysAndDomain(): Promise<void> {
    await mkdir(join(folder, "dkim", "example.org"), { recursive: true });
    await put(
      "dkim/example.org/a.rsa.pem",
      pairs.rsa.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    );
    await put("com-passwords", "erik:{PLAIN}secret of erik\n");
  }

  async function fromOtherDomain(): Promise<void> {
    const talk = await greet(relay);
    await expecting("535", talk.say(authPlain("erik@example.com", "wrong")));
    await expecting("235", talk.say(authPlain("erik@example.com", "secret of erik")));
    await expecting("5", talk.say("MAIL FROM:<user1@example.org>"));
    const letter = note("unsigned").replace("user1@example.org", "erik@example.com");
    await submit(talk, letter, { from: "erik@example.com", to: ["c@example.net"] });
    await relay.logged(/to=<c@example.net>.*status=sent/);
    talk.close();
  }

  /** Mail that is delivered, put off and refused, wrong passwords, a limit, and a client that vanishes. */
  async function busy(): Promise<void> {
    const talk = await greet(relay);
    await expecting("535", talk.say(authPlain("user1", "wrong")));
    await expecting("235", talk.say(authPlain("user1", relay.password)));
    await expecting("250", talk.say("MAIL FROM:<user1@example.org>"));
    await expecting("5", talk.say("RCPT TO:<no address>"));
    await talk.say("RSET");
    for (const to of ["a@example.net", "nobody@example.net", "b@gmail.com"]) {
      await submit(talk, note(to), { to: [to] });
    }
    await relay.logged(/to=<nobody@example.net>.*status=bounced/);
    await relay.logged(/to=<b@gmail.com>.*status=sent/);
    await submit(talk, note("late"), { to: ["late@gmail.com"] }); // from here on the provider pauses
    await relay.logged(/to=<late@gmail.com>.*status=deferred/);
    await submit(talk, note("five"));
    await submit(talk, note("six"));
    await expecting("450", talk.say("MAIL FROM:<user1@example.org>"));
    talk.close();
    await relay.logged(/limit of messages.* reached|reached until/);
    const stranger = await knock(relay.submission, false);
    await stranger.talk.say("EHLO stranger.example");
    const second = await knock(relay.submission, false);
    await expecting("530", second.talk.say("MAIL FROM:<user1@example.org>"));
    for (const one of [stranger, second]) one.talk.close();
    await relay.logged(/lost connection after/);
  }

  /** A monitor whose only message arrives: what the next hop takes is put into its mailbox. */
  async function probing(elsewhere: FakeServer): Promise<string> {
    for (const part of ["new", "cur", "tmp"]) await mkdir(join(folder, "mail", part), { recursive: true });
    await put("probe-password", relay.password);
    await put(
      "probes.toml",
      `directory = "${folder}/probe"\nkey = "${folder}/probe/key"
[submission]\nserver = "smtp://127.0.0.1:${relay.submission}"\nlogin = "probe"\npassword-file = "${folder}/probe-password"\nfrom = "probe@example.org"\nca = "${relay.certificate}"
[[route]]\nname = "net"\nto = "box@example.net"\narrive = "maildir:${folder}/mail"\n`,
    );
    const address = `127.0.0.1:${await freePort()}`;
    const words = ["probe", "monitor", "--listen", address, join(folder, "probes.toml")];
    children.push(spawn(process.execPath, [program, ...words], { stdio: "ignore" }));
    const mail = await until("the probe at the next hop", () =>
      elsewhere.received.find(({ recipients }) => recipients.some((one) => one.includes("box"))),
    );
    await writeFile(join(folder, "mail/new/1.1.host"), mail.message.replaceAll("\r\n", "\n"));
    await until("its arrival", async () => {
      const text = await fetch(`http://${address}/metrics`).then(
        (answer) => answer.text(),
        () => "", // not yet
      );
      return text.includes('tpa_submit_probe_success{target="net"} 1') || undefined;
    });
    return address;
  }

  /** Starts the program; gives where it says that it listens. */
  async function listening(words: readonly string[], pattern: RegExp): Promise<string> {
    const child = spawn(process.execPath, [program, ...words], { stdio: ["ignore", "ignore", "pipe"] });
    children.push(child);
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    return until(`${words.join(" ")} to listen`, () => pattern.exec(said)?.[1]);
  }

  async function startPrometheus(doors: Awaited<ReturnType<typeof live>>): Promise<string> {
    const jobs = doors.map(
      ([job, address]) => `  - { job_name: ${job}, static_configs: [{ targets: ["${address}"] }] }\n`,
    );
    await put(
      "prometheus.yml",
      `global: { scrape_interval: 1s, evaluation_interval: 1s }\nrule_files: ["${join(root, "etc/prometheus/tpa-submit.rules.yml")}"]\nscrape_configs:\n${jobs.join("")}`,
    );
    const address = `127.0.0.1:${await freePort()}`;
    const words = ["config.file", "storage.tsdb.path", "web.listen-address", "log.level"];
    const values = [join(folder, "prometheus.yml"), join(folder, "tsdb"), address, "error"];
    const options = words.map((word, at) => `--${word}=${values[at] ?? ""}`);
    children.push(spawn(pathOf("prometheus") ?? "", options, { cwd: folder, stdio: "ignore" }));
    await until("Prometheus", async () => {
      const answer = await fetch(`http://${address}/-/ready`).catch(() => undefined);
      return answer?.ok || undefined;
    });
    return address;
  }

  interface PrometheusAnswer {
    readonly status: string;
    readonly error?: string;
    readonly data: { readonly result: readonly { readonly value: readonly [number, string] }[] };
  }

  async function ask(query: string): Promise<PrometheusAnswer["data"]["result"]> {
    const answer = await fetch(`http://${prometheus}/api/v1/query?query=${encodeURIComponent(query)}`);
    const { status, error, data } = (await answer.json()) as PrometheusAnswer;
    if (status !== "success") throw new Error(`${query}: ${error}`);
    return data.result;
  }

  test("all that the dashboard and the alerts ask for stands in a scrape", async () => {
    const all = [...(await dashboard()), ...(await alerts())];
    expect(all.length).toBeGreaterThan(60);
    const wanted = new Set(all.flatMap(({ expression }) => selectors(expression)));
    expect(wanted.size).toBeGreaterThan(40);
    // `up` is Prometheus' own.
    const missing = [...wanted].filter(
      (one) => !one.startsWith("up{") && !scraped.some((series) => fits(series, one)),
    );
    expect(missing).toEqual(['tpa_submit_auth_attempts_total{result="unavailable"}']); // begins when it happens, and lasts
  });

  test("Prometheus finds a series for every expression of the dashboard", async () => {
    const empty: string[] = [];
    for (const { name, expression } of await dashboard()) {
      if ((await ask(expression)).length === 0) empty.push(`${name}: ${expression}`);
    }
    expect(empty).toEqual([]);
  });

  test("Prometheus evaluates every alert, and finds what each asks for", async () => {
    const answer = await fetch(`http://${prometheus}/api/v1/rules`);
    const { data } = (await answer.json()) as {
      readonly data: {
        readonly groups: readonly {
          readonly rules: readonly { readonly name: string; readonly health: string }[];
        }[];
      };
    };
    const rules = data.groups.flatMap((group) => group.rules);
    expect(rules.map(({ name, health }) => `${name} ${health}`).sort()).toEqual(
      (await alerts()).map(({ name }) => `${name} ok`).sort(),
    );
    for (const { expression } of await alerts()) {
      for (const selector of selectors(expression)) {
        if (selector.includes('result="unavailable"')) continue;
        expect([selector, (await ask(selector)).length]).not.toEqual([selector, 0]);
      }
    }
  });
});
