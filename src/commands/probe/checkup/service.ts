/** A look at one submission service: what is asked of this host and the network, and what is printed. */
import { lookup, Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import { hostname } from "node:os";
import { usageMistake } from "../../../cli/options.ts";
import { print } from "../../../cli/output.ts";
import { colourFor, startSpinner } from "../../../cli/terminal.ts";
import { writeAddress } from "../../../config/setting-types.ts";
import {
  askBlocklist,
  type Blocklist,
  type BlocklistFact,
  blocklistOf,
  blocklists,
  judgeBlocklist,
} from "../../../probe/checkup/blocklists.ts";
import {
  type CheckedService,
  type CheckupDependencies,
  gatherFacts,
  type ServiceFacts,
} from "../../../probe/checkup/gather.ts";
import {
  type CheckFinding,
  judgeFacts,
  markColours,
  marks,
  nagiosGrades,
  nagiosLine,
  named,
  worstState,
} from "../../../probe/checkup/judge.ts";
import { gatherSender, judgeSender } from "../../../probe/checkup/sender.ts";
import { judgeSignatures } from "../../../probe/checkup/signatures.ts";
import { daneBy, firstLine, octetsIn, probeDependencies, textIn } from "../host.ts";
import { organisations, signaturesOf } from "../signatures.ts";
import { stsBy } from "../sts.ts";
import { type CheckupCommandOptions, line } from "./options.ts";

/** Returns the exit status. */
export async function checkService(given: string, options: CheckupCommandOptions): Promise<number> {
  const subject = await subjectOf(given, options);
  const lists = listsOf(options);
  const spinner = startSpinner("looking");
  const { facts, findings } = await findingsOf(subject, lists, options, (what) =>
    spinner.say(`looking at ${what}`),
  ).finally(() => spinner.stop());
  print(await textOf(findings, facts.host, options));
  const worst = worstState(findings);
  return options.nagios ? nagiosGrades[worst] : Number(worst === "failed");
}

/** The lists by their names. Throws a usage mistake for what is none. */
function listsOf({ blocklist }: CheckupCommandOptions): readonly (readonly [string, Blocklist])[] {
  return (blocklist ?? []).map((name) => {
    const found = blocklistOf(name);
    if (found) return [name, found] as const;
    const known = Object.keys(blocklists).join(", ");
    throw usageMistake(line.name, `--blocklist: expected one of ${known}, or a zone, found "${name}"`);
  });
}

interface Checkup {
  readonly facts: ServiceFacts;
  readonly findings: readonly CheckFinding[];
}

async function findingsOf(
  subject: CheckedService,
  lists: readonly (readonly [string, Blocklist])[],
  options: CheckupCommandOptions,
  progress: (what: string) => void,
): Promise<Checkup> {
  const { message: file, nameserver } = options;
  const message = file === undefined ? undefined : await octetsIn(file, `--message: ${file}`);
  const surroundings = surroundingsOf(options);
  const facts = await gatherFacts(subject, surroundings, progress);
  progress("what receivers ask for");
  const sender = await gatherSender(subject, facts, surroundings, {
    organisation: await organisations(),
    dane: daneBy(nameserver && writeAddress(nameserver)),
    sts: stsBy(nameserver && writeAddress(nameserver)),
  });
  const known = facts.dns.addresses === "trouble" ? [] : facts.dns.addresses;
  const listed: BlocklistFact[] = [];
  for (const [name, list] of lists) {
    progress(`the list ${name}`);
    listed.push(...(await askBlocklist(name, list, known, surroundings.dns)));
  }
  const signatures =
    message && judgeSignatures(await signaturesOf(message, nameserver && writeAddress(nameserver)));
  return {
    facts,
    findings: [
      ...judgeFacts(facts),
      ...named("receivers", judgeSender(sender, facts)),
      ...named("blocklists", listed.map(judgeBlocklist)),
      ...named("message", signatures ?? []),
    ],
  };
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
