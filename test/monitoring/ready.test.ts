/** What is ready to install for monitoring: every option and every metric that it names is one of ours. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Option } from "../../src/cli/options.ts";
import { line as checkup } from "../../src/commands/probe/checkup/options.ts";
import { counted as probeCounted, gauges as probeGauges } from "../../src/commands/probe/monitor/metrics.ts";
import { line as monitor } from "../../src/commands/probe/monitor.ts";
import { metrics as propagationMetrics } from "../../src/commands/probe/propagation/change.ts";
import { line as propagation } from "../../src/commands/probe/propagation/options.ts";
import { line as report } from "../../src/commands/probe/report.ts";
import { line as reports } from "../../src/commands/probe/reports/options.ts";
import { metrics as syncMetrics } from "../../src/commands/sync/metrics.ts";
import {
  commitMetrics,
  domainMetrics,
  eventCounter,
  gauges,
  logMetrics,
  storeMetrics,
} from "../../src/server/log/metrics.ts";
import type { Metric } from "../../src/server/log/prometheus.ts";
import { pathOf, real } from "../tools/real.ts";

const root = join(import.meta.dirname, "..", "..");
const etc = (name: string): string => readFileSync(join(root, "etc", name), "utf8");

const exported: readonly Metric[] = [
  ...logMetrics,
  ...domainMetrics,
  eventCounter,
  ...[
    gauges,
    storeMetrics,
    commitMetrics,
    syncMetrics,
    probeGauges,
    probeCounted,
    propagationMetrics,
  ].flatMap((rows): readonly Metric[] => Object.values(rows)),
];
const names = new Set(
  exported.flatMap(({ name, type }) =>
    type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  ),
);
/** Metrics that a text of PromQL names. `up` is Prometheus' own. */
const metricsIn = (text: string): readonly string[] => [
  ...new Set(text.match(/\b(?:tpa_submit|postfix|process)_[a-z_]+\b/g) ?? []),
];

describe("etc/prometheus/tpa-submit.rules.yml", () => {
  const rules = etc("prometheus/tpa-submit.rules.yml");
  const played = readFileSync(join(import.meta.dirname, "alerts.test.yml"), "utf8");

  test("names metrics that there are", () => {
    const found = metricsIn(rules);
    expect(found.length).toBeGreaterThan(10);
    expect(found.filter((name) => !names.has(name))).toEqual([]);
  });

  test("has no alert that is not played", () => {
    const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name = ""]) => name);
    expect(alerts.filter((name) => !played.includes(`alertname="${name}"`))).toEqual([]);
  });

  test("has no alert that does not name its place in the playbook", () => {
    const named = [...rules.matchAll(/- alert: (\w+)[\s\S]*?description: "(.*)"\n/g)].map(
      ([, name = "", description = ""]) => [name, /More: (\S+)$/.exec(description)?.[1]],
    );
    expect(named.length).toBeGreaterThan(20);
    expect(named).toEqual(named.map(([name]) => [name, `docs/playbook.md#${name?.toLowerCase()}`]));
  });

  describe.skipIf(!real("promtool"))("promtool", () => {
    test.each([
      ["check", join(root, "etc/prometheus/tpa-submit.rules.yml")],
      ["test", join(import.meta.dirname, "alerts.test.yml")],
    ])("%s rules says SUCCESS", (verb, file) => {
      const said = execFileSync(pathOf("promtool") ?? "", [verb, "rules", file], { encoding: "utf8" });
      expect(said).toContain("SUCCESS");
    });
  });
});

describe("etc/grafana/tpa-submit.json", () => {
  interface Panel {
    readonly id: number;
    readonly type: string;
    readonly title: string;
    readonly datasource?: { readonly uid: string };
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    readonly targets?: readonly { readonly expr: string; readonly datasource: { readonly uid: string } }[];
  }
  const dashboard = JSON.parse(etc("grafana/tpa-submit.json")) as {
    readonly id: null;
    readonly uid: string;
    readonly schemaVersion: number;
    readonly templating: {
      readonly list: readonly { readonly name: string; readonly type: string; readonly query: unknown }[];
    };
    readonly panels: readonly Panel[];
  };
  const { panels, templating } = dashboard;

  test("is a classic dashboard that asks for its data source", () => {
    expect(dashboard).toMatchObject({ id: null, uid: "tpa-submit" });
    expect(dashboard.schemaVersion).toBeGreaterThanOrEqual(38);
    expect(templating.list[0]).toMatchObject({ name: "datasource", type: "datasource", query: "prometheus" });
    const sources = panels.flatMap(({ datasource, targets = [] }) => [
      ...(datasource ? [datasource.uid] : []),
      ...targets.map((target) => target.datasource.uid),
    ]);
    expect(new Set(sources)).toEqual(new Set(["$".concat("{datasource}")]));
  });

  test("names metrics that there are, with labels that they have", () => {
    const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    const found = metricsIn([...expressions, JSON.stringify(templating)].join("\n"));
    expect(found.length).toBeGreaterThan(20);
    expect(found.filter((name) => !names.has(name))).toEqual([]);
    for (const expr of expressions) {
      const [by = ""] = /(?<=by \()[^)]*/.exec(expr) ?? [];
      const labels = by.split(", ").filter((label) => !["", "le", "instance"].includes(label));
      const [metric = ""] = metricsIn(expr);
      const row = exported.find(({ name }) => metric.startsWith(name));
      expect([expr, labels.filter((label) => !row?.labels.includes(label))]).toEqual([expr, []]);
    }
  });

  test("lays its panels side by side, none over another, each with a number of its own", () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, at) => `${x + (at % w)} ${y + Math.floor(at / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true);
  });
});

describe.skipIf(!real("icinga2"))("etc/icinga2/tpa-submit.conf", () => {
  test("is taken by Icinga, with services of each command and the one that it shows", async () => {
    const folder = await mkdtemp(join(tmpdir(), "tpa-submit-icinga-"));
    try {
      const [, shown = ""] = /\/\*\n(apply.*?)\*\//s.exec(etc("icinga2/tpa-submit.conf")) ?? [];
      expect(shown).not.toBe("");
      const file = join(folder, "icinga2.conf");
      await writeFile(
        file,
        `include <itl>
include "${join(root, "etc/icinga2/tpa-submit.conf")}"
${shown}
object Host "monitor.example.org" { check_command = "tpa-submit-checkup" }
object Service "propagation" {
  host_name = "monitor.example.org"
  check_command = "tpa-submit-propagation"
  vars.tpa_submit_login = "probe"
  vars.tpa_submit_password_file = "/var/lib/tpa-submit/probe/propagation-password"
}
`,
      );
      // As whoever runs the test, and not as Icinga's own user.
      const [user, group] = ["-un", "-gn"].map((what) =>
        execFileSync("id", [what], { encoding: "utf8" }).trim(),
      );
      const places = ["DataDir", "CacheDir"].map((name) => `-D${name}=${folder}`);
      const said = execFileSync(pathOf("icinga2") ?? "", ["daemon", "-C", "-c", file, ...places], {
        encoding: "utf8",
        env: { ...process.env, ICINGA2_USER: user, ICINGA2_GROUP: group },
      });
      expect(said).toMatch(/Instantiated 2 Services/);
      expect(said).not.toMatch(/warning|critical/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("every call of the probe in etc", () => {
  const lines: Readonly<Record<string, { readonly options: Readonly<Record<string, Option<unknown>>> }>> = {
    monitor,
    checkup,
    propagation,
    report,
    reports,
  };
  const files = ["nagios/tpa-submit.cfg", "cron/tpa-submit-probe", "icinga2/tpa-submit.conf"].concat(
    readdirSync(join(root, "etc/systemd")).map((name) => `systemd/${name}`),
  );
  // A line of cron or Nagios, a unit's ExecStart, or an Icinga object with its list and its arguments.
  const calls = files.flatMap((file) =>
    etc(file)
      .split(file.startsWith("icinga2") ? /^object /m : "\n")
      .flatMap((text) => {
        const [, word = ""] =
          /probe"?,? "?([a-z]+)/.exec(/\/usr\/bin\/tpa-submit.*/s.exec(text)?.[0] ?? "") ?? [];
        return word === ""
          ? []
          : [[file, word, [...text.matchAll(/--[a-z-]+/g)].map(([flag]) => flag)] as const];
      }),
  );

  test("is found", () => {
    expect(calls.length).toBeGreaterThanOrEqual(11);
    expect(new Set(calls.map(([, word]) => word))).toEqual(new Set(Object.keys(lines)));
  });

  test.each(calls)("%s, %s: has options that there are: %j", (_, word, flags) => {
    const known = Object.values(lines[word]?.options ?? {}).map(
      ({ flags: own }) => /--[a-z-]+/.exec(own)?.[0],
    );
    expect(flags.filter((flag) => !known.includes(flag))).toEqual([]);
  });
});
