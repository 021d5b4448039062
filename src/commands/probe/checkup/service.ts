/** A look at one submission service: what is asked of this host and the network, and what is printed. */
import { lookup, Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import { hostname } from "node:os";
import { usageMistake } from "../../../cli/options.ts";
import { print } from "../../../cli/output.ts";
import { colourFor, startSpinner } from "../../../cli/terminal.ts";
import { writeAddress } from "../../../config/setting-types.ts";
import { type CheckedService, type CheckupDependencies, gatherFacts } from "../../../probe/checkup/gather.ts";
import {
  type CheckFinding,
  judgeFacts,
  markColours,
  marks,
  nagiosGrades,
  nagiosLine,
  worstState,
} from "../../../probe/checkup/judge.ts";
import { firstLine, probeDependencies, textIn } from "../host.ts";
import { type CheckupCommandOptions, line } from "./options.ts";

/** Returns the exit status. */
export async function checkService(given: string, options: CheckupCommandOptions): Promise<number> {
  const subject = await subjectOf(given, options);
  const spinner = startSpinner("looking");
  const facts = await gatherFacts(subject, surroundingsOf(options), (what) =>
    spinner.say(`looking at ${what}`),
  ).finally(() => spinner.stop());
  const findings = judgeFacts(facts);
  print(await textOf(findings, facts.host, options));
  const worst = worstState(findings);
  return options.nagios ? nagiosGrades[worst] : Number(worst === "failed");
}

async function subjectOf(host: string, options: CheckupCommandOptions): Promise<CheckedService> {
  if (isIP(host) === 0 && !/^[a-z0-9_.-]+$/i.test(host))
    throw usageMistake(line.name, `"${host}" is no host name`);
  const labels = host.split(".");
  const { login, passwordFile, domain, submission, submissions, ca, timeout } = options;
  return {
    host,
    domain: domain ?? (labels.length > 2 && isIP(host) === 0 ? labels.slice(1).join(".") : host),
    ports: [
      { kind: "starttls", port: submission },
      { kind: "tls", port: submissions },
    ],
    ...(login !== undefined && { login: { user: login, password: await passwordOf(passwordFile) } }),
    helo: hostname(),
    timeout,
    ...(ca !== undefined && { ca: await textIn(ca, `--ca: ${ca}`) }),
  };
}

async function passwordOf(file: string | undefined): Promise<string> {
  const given =
    file === undefined
      ? process.env["TPA_SUBMIT_PROBE_PASSWORD"]
      : await textIn(file, `--password-file: ${file}`);
  const password = firstLine(given ?? "");
  if (password !== "") return password;
  throw usageMistake(
    line.name,
    "--login wants a password: name a file with --password-file, or set TPA_SUBMIT_PROBE_PASSWORD",
  );
}

function surroundingsOf({ nameserver, timeout }: CheckupCommandOptions): CheckupDependencies {
  const resolver = new Resolver({ timeout: Math.min(timeout, 5000), tries: 2 });
  if (nameserver) resolver.setServers([writeAddress(nameserver)]);
  return {
    dns: {
      resolve4: (name) => resolver.resolve4(name),
      resolve6: (name) => resolver.resolve6(name),
      resolveTxt: (name) => resolver.resolveTxt(name),
      resolveMx: (name) => resolver.resolveMx(name),
      resolveCname: (name) => resolver.resolveCname(name),
      resolveSrv: (name) => resolver.resolveSrv(name),
      reverse: (address) => resolver.reverse(address),
    },
    lookup: async (host: string) =>
      isIP(host) === 0 ? (await lookup(host, { all: true })).map((found) => found.address) : [host],
    probe: probeDependencies,
  };
}

async function textOf(
  findings: readonly CheckFinding[],
  host: string,
  { json, nagios }: CheckupCommandOptions,
): Promise<string> {
  if (json) return `${JSON.stringify(findings, null, 2)}\n`;
  const head = nagios ? nagiosLine("CHECKUP", host, findings) : "";
  return `${head}${await listOf(findings)}`;
}

async function listOf(findings: readonly CheckFinding[]): Promise<string> {
  const paint = await colourFor(process.stdout);
  const lines: string[] = [];
  let area = "";
  for (const finding of findings) {
    if (finding.area !== area) lines.push(...(area === "" ? [] : [""]), finding.area);
    area = finding.area;
    lines.push(
      `  ${paint(markColours[finding.state], marks[finding.state].padEnd(8))} ${finding.words.replace(/\p{Cc}+/gu, " ")}`,
    );
    if (finding.advice !== undefined) lines.push(`           ${finding.advice}`);
  }
  return lines.map((text) => `${text}\n`).join("");
}
