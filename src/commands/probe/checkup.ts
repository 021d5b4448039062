/** `tpa-submit probe checkup`: a submission service as seen from outside. man/tpa-submit-probe-checkup.1 */
import { lookup, Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import { hostname } from "node:os";
import {
  argument,
  command,
  flag,
  type OptionsOf,
  parsed,
  parseOptions,
  usageMistake,
  value,
  wholeNumber,
} from "../../cli/options.ts";
import { print } from "../../cli/output.ts";
import { colourFor, startSpinner } from "../../cli/terminal.ts";
import { address, duration, writeAddress } from "../../config/setting-types.ts";
import { exitStatus } from "../../failure.ts";
import { type CheckedService, type CheckupDependencies, gatherFacts } from "../../probe/checkup/gather.ts";
import {
  type CheckFinding,
  judgeFacts,
  markColours,
  marks,
  nagiosGrades,
  nagiosLine,
  worstState,
} from "../../probe/checkup/judge.ts";
import { firstLine, probeDependencies, textIn } from "./host.ts";
import { asPlugin } from "./plugin.ts";

const port = wholeNumber(1, 65_535);

export const line = command({
  name: "probe checkup",
  summary:
    "Look at a submission service from outside, and say of each thing whether it is well and what to do.",
  options: {
    login: value("-l, --login <user>", "Log in as this user, too, and try to send as somebody else."),
    passwordFile: value(
      "--password-file <file>",
      "File with the password, on its first line; else TPA_SUBMIT_PROBE_PASSWORD.",
    ),
    domain: value("-d, --domain <domain>", "Whose mail it is; without it: the host without its first label."),
    submission: parsed("--submission <port>", "Port with STARTTLS.", port, "587"),
    submissions: parsed("--submissions <port>", "Port inside TLS.", port, "465"),
    ca: value("--ca <file>", "Certificates (PEM) to trust in place of the system's."),
    nameserver: parsed("--nameserver <address>", "DNS server to ask in place of the system's.", address),
    timeout: parsed("--timeout <duration>", "How long one answer may take.", duration, "15s"),
    json: flag("--json", "The findings as JSON."),
    nagios: flag("--nagios", "One status line first, and its grade as the exit status."),
  },
  arguments: { host: argument("<host>", "The submission server.") },
  examples: [
    "tpa-submit probe checkup submission.example.org",
    "tpa-submit probe checkup submission.example.org --login probe --password-file /etc/tpa-submit/probe-password",
    "tpa-submit probe checkup submission.example.org --nagios",
  ],
});

type CheckupCommandOptions = OptionsOf<typeof line.options>;

/** Returns 0 where nothing failed, 1 where something did; with --nagios 0 to 3. */
export function run(argv: readonly string[]): Promise<number> {
  return asPlugin("CHECKUP", argv, checkup);
}

async function checkup(argv: readonly string[]): Promise<number> {
  const chosen = parseOptions(line, argv);
  if (!chosen) return exitStatus.ok;
  const { options } = chosen;
  if (options.json && options.nagios) throw usageMistake(line.name, "--json and --nagios do not go together");
  const subject = await subjectOf(chosen.arguments.host, options);
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
