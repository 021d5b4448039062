/**
 * What a checkup finds out about a submission service, before anything is judged: it asks the DNS, and talks with the
 * service as mail programs do, and as they should not. Times are milliseconds.
 */

import type { AuthPlan, StopPoint } from "../plan.ts";
import type { TlsFacts } from "../tls.ts";
import type { ProbeDependencies } from "../transaction/session.ts";
import { loginBy, runSmtpCheck } from "../transaction/smtp-check.ts";
import type { RunRecord } from "../transcript/journal.ts";
import { type DnsQueries, evaluateSpf, records } from "./spf.ts";

/** What a server said to one command. */
export interface ServerReply {
  readonly code: number;
  /** Last line, without the code. */
  readonly text: string;
}

/** One port, as a client meets it. */
export interface PortFacts {
  readonly kind: "starttls" | "tls";
  readonly port: number;
  /** Why there was no session, or where it ended early; absent where it went as far as planned. */
  readonly trouble?: string;
  readonly isConnected: boolean;
  readonly greeting?: string;
  /** Keywords of EHLO with what stands behind them, in clear (starttls only) and inside TLS. */
  readonly inClear?: ReadonlyMap<string, string>;
  readonly offers?: ReadonlyMap<string, string>;
  readonly tls?: TlsFacts;
  /** Whether TLS 1.1 or older was agreed on when nothing newer was offered. */
  readonly oldTls?: boolean;
  /** Each step's name and time. */
  readonly times: readonly (readonly [string, number])[];
  /** RCPT to another domain without a login, or the first refusal before it. */
  readonly relaying?: ServerReply;
  /** AUTH with a password that is wrong. */
  readonly wrongPassword?: ServerReply;
}

export interface LoginFacts {
  readonly user: string;
  /** AUTH. */
  readonly login?: ServerReply;
  /** MAIL, or RCPT, with a sender of somebody else's domain. */
  readonly forging?: ServerReply;
  readonly trouble?: string;
}

export interface SrvFact {
  readonly label: string;
  /** host:port of each record, and whether the host is an alias. */
  readonly targets:
    | readonly { readonly host: string; readonly port: number; readonly isAlias: boolean }[]
    | "trouble";
}

export interface DnsFacts {
  readonly addresses: readonly string[] | "trouble";
  readonly srv: readonly SrvFact[];
  /** Of each address, its names, and whether one of them leads back to it. */
  readonly reverse: readonly {
    readonly address: string;
    readonly names: readonly string[] | "trouble";
    readonly leadsBack: boolean;
  }[];
  /** SPF's result for each address. */
  readonly spf: readonly { readonly address: string; readonly result: string }[];
  /** The DMARC record; "" where there is none, null where the DNS does not answer. */
  readonly dmarc: string | null;
}

export interface ServiceFacts {
  readonly host: string;
  /** Whose mail it is. */
  readonly domain: string;
  readonly dns: DnsFacts;
  readonly ports: readonly PortFacts[];
  /** Absent where no login was given. */
  readonly login?: LoginFacts;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** The service to check. */
export interface CheckedService {
  readonly host: string;
  readonly domain: string;
  readonly ports: readonly Pick<PortFacts, "kind" | "port">[];
  readonly login?: { readonly user: string; readonly password: string };
  /** Our name in EHLO. */
  readonly helo: string;
  /** Milliseconds for each answer. */
  readonly timeout: number;
  /** PEM of the CAs to trust instead of the system's. */
  readonly ca?: string;
}

export interface CheckupDependencies {
  readonly probe: ProbeDependencies;
  readonly dns: DnsQueries;
  /** The addresses of a host, as getaddrinfo(3) has them; rejects with node:dns's codes. */
  readonly lookup: (host: string) => Promise<readonly string[]>;
}

/** Somebody else's domain, where nobody reads mail (RFC 2606). */
const elsewhere = "example.com";

/** Everything about `service`; `progress` is called with what begins. */
export async function gatherFacts(
  service: CheckedService,
  dependencies: CheckupDependencies,
  progress: (what: string) => void,
): Promise<ServiceFacts> {
  const { host, domain } = service;
  progress("the DNS");
  const dns = gatherDns(service, dependencies);
  const ports: PortFacts[] = [];
  for (const port of service.ports) {
    progress(`port ${port.port}`);
    ports.push(await gatherPort(service, port, dependencies.probe));
  }
  // One wrong password is enough: more look like guessing.
  const port = ports.find(({ offers }) => offers?.has("AUTH") === true);
  if (port) progress("a wrong password");
  const wrong = port && (await tryPassword(service, port, dependencies.probe));
  if (service.login) progress("the login");
  const login = service.login && (await gatherLogin(service, service.login, port, dependencies.probe));
  return {
    host,
    domain,
    dns: await dns,
    ports: ports.map((one) => (one === port && wrong ? { ...one, wrongPassword: wrong } : one)),
    ...(login && { login }),
    now: dependencies.probe.now(),
  };
}

export async function gatherDns(
  { host, domain }: Pick<CheckedService, "host" | "domain">,
  { dns, lookup }: Pick<CheckupDependencies, "dns" | "lookup">,
): Promise<DnsFacts> {
  const addresses = await records(lookup(host));
  const known = addresses === "trouble" ? [] : addresses;
  const labels = ["_submission._tcp", "_submissions._tcp"];
  // Labels that people publish by mistake: reported where they exist.
  const wrong = ["_smtp._tcp", "_smtps._tcp", "_submission-tls._tcp"];
  const [srv, mistakes, reverse, spf, dmarc] = await Promise.all([
    Promise.all(labels.map((label) => srvOf(label, domain, dns))),
    Promise.all(wrong.map((label) => srvOf(label, domain, dns))),
    Promise.all(known.map((address) => reverseOf(address, { dns, lookup }))),
    Promise.all(known.map(async (address) => ({ address, result: await evaluateSpf(domain, address, dns) }))),
    dmarcOf(domain, dns),
  ]);
  const published = mistakes.filter(({ targets }) => targets !== "trouble" && targets.length > 0);
  return { addresses, srv: [...srv, ...published], reverse, spf, dmarc };
}

async function srvOf(label: string, domain: string, dns: DnsQueries): Promise<SrvFact> {
  const found = await records(dns.resolveSrv(`${label}.${domain}`));
  if (found === "trouble") return { label, targets: "trouble" };
  const targets = await Promise.all(
    found.map(async ({ name, port }) => {
      const aliases = await records(dns.resolveCname(name));
      return { host: name, port, isAlias: aliases !== "trouble" && aliases.length > 0 };
    }),
  );
  return { label, targets };
}

async function reverseOf(
  address: string,
  { dns, lookup }: Pick<CheckupDependencies, "dns" | "lookup">,
): Promise<DnsFacts["reverse"][number]> {
  const found = await records(dns.reverse(address));
  if (found === "trouble") return { address, names: found, leadsBack: false };
  const back = await Promise.all(found.map((name) => records(lookup(name))));
  return {
    address,
    names: found,
    leadsBack: back.some((addresses) => addresses !== "trouble" && addresses.includes(address)),
  };
}

async function dmarcOf(domain: string, dns: DnsQueries): Promise<string | null> {
  const found = await records(dns.resolveTxt(`_dmarc.${domain}`));
  if (found === "trouble") return null;
  return found.map((strings) => strings.join("")).find((text) => /^v=DMARC1\b/i.test(text)) ?? "";
}

async function gatherPort(
  service: CheckedService,
  port: Pick<PortFacts, "kind" | "port">,
  dependencies: ProbeDependencies,
): Promise<PortFacts> {
  // As far as a message to another domain gets without a login.
  const { recorded, status } = await attempt(service, port, { stop: "RCPT" }, dependencies);
  const isConnected = recorded.server !== undefined && recorded.steps.length > 0;
  const clear = helloIn(recorded, false);
  const inside = helloIn(recorded, true);
  const greeting = recorded.steps
    .find(({ at }) => at === "CONNECT")
    ?.reply.at(-1)
    ?.slice(4);
  const oldTls = recorded.tls ? await takesOldTls(service, port, dependencies) : undefined;
  const relaying = saidAt(recorded, ["RCPT", "MAIL"]);
  return {
    ...port,
    isConnected,
    ...(status !== 0 && { trouble: troubleIn(recorded) }),
    ...(greeting !== undefined && { greeting }),
    ...(clear && { inClear: clear }),
    ...(inside && { offers: inside }),
    ...(recorded.tls && { tls: recorded.tls }),
    ...(oldTls !== undefined && { oldTls }),
    times: recorded.steps.map(({ at, milliseconds }) => [at, milliseconds] as const),
    ...(relaying && inside && { relaying }),
  };
}

async function takesOldTls(
  service: CheckedService,
  port: Pick<PortFacts, "kind" | "port">,
  dependencies: ProbeDependencies,
): Promise<boolean | undefined> {
  const versions = { oldest: "TLSv1", newest: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" };
  const { recorded } = await attempt(service, port, { stop: "TLS", versions }, dependencies);
  if (recorded.tls) return true;
  return recorded.errors.some((text) => /no protocols available/i.test(text)) ? undefined : false;
}

async function tryPassword(
  service: CheckedService,
  port: PortFacts,
  dependencies: ProbeDependencies,
): Promise<ServerReply | undefined> {
  const password = Buffer.from(dependencies.random(18)).toString("base64url");
  const user = service.login?.user ?? "tpa-submit-checkup";
  const { recorded } = await attempt(
    service,
    port,
    { stop: "AUTH", auth: authOf(user, password, port) },
    dependencies,
  );
  return saidAt(recorded, ["AUTH"]);
}

async function gatherLogin(
  service: CheckedService,
  { user, password }: { readonly user: string; readonly password: string },
  port: PortFacts | undefined,
  dependencies: ProbeDependencies,
): Promise<LoginFacts> {
  if (!port) return { user, trouble: "no port offers AUTH inside TLS" };
  if (port.tls?.distrust !== undefined || port.tls?.hostMatches === false) {
    return { user, trouble: "the certificate is not to be trusted, so the password was not sent" };
  }
  const auth = authOf(user, password, port);
  const { recorded } = await attempt(
    service,
    port,
    { stop: "RCPT", auth, from: `somebody@${elsewhere}` },
    dependencies,
  );
  const login = saidAt(recorded, ["AUTH"]);
  const forging = login?.code === 235 ? saidAt(recorded, ["RCPT", "MAIL"]) : undefined;
  return {
    user,
    ...(login && { login }),
    ...(forging && { forging }),
    ...(!login && { trouble: troubleIn(recorded) }),
  };
}

/** One mechanism, tried once. */
function authOf(user: string, password: string, { offers }: PortFacts): AuthPlan {
  const type = /\bPLAIN\b/.test(offers?.get("AUTH") ?? "") ? "PLAIN" : "LOGIN";
  return loginBy([type], user, password);
}

interface CheckupAttempt {
  readonly stop: StopPoint;
  readonly auth?: AuthPlan;
  readonly from?: string;
  readonly versions?: { readonly oldest: string; readonly newest: string; readonly ciphers: string };
}

async function attempt(
  { host, domain, helo, timeout, ca }: CheckedService,
  { kind, port }: Pick<PortFacts, "kind" | "port">,
  { stop, auth, from = `checkup@${domain}`, versions }: CheckupAttempt,
  dependencies: ProbeDependencies,
): ReturnType<typeof runSmtpCheck> {
  // A certificate that is not trusted is examined all the same; only a real password is kept from it.
  const isVerifying = auth !== undefined && from !== `checkup@${domain}`;
  return runSmtpCheck(
    { host, port, implicitTls: kind === "tls", helo, timeout, ...(ca !== undefined && { ca }) },
    {
      protocol: { from, to: [`checkup@${elsewhere}`], quitAfter: stop },
      tls: { verifyCa: isVerifying, verifyHost: isVerifying, ...versions },
      ...(auth && { auth }),
    },
    dependencies,
  );
}

/** The keywords of the last EHLO that was answered in clear, or inside TLS. */
function helloIn({ steps }: RunRecord, secure: boolean): ReadonlyMap<string, string> | undefined {
  const hello = steps.findLast(
    ({ at, secure: inside, expected }) =>
      (at === "FIRST-HELO" || at === "HELO") && inside === secure && expected,
  );
  if (!hello) return undefined;
  return new Map(
    hello.reply.slice(1).map((line) => {
      const [keyword = "", ...words] = line.slice(4).trim().split(/[ =]/);
      return [keyword.toUpperCase(), words.join(" ")];
    }),
  );
}

/** The last reply at the first of `stops` that was reached. */
function saidAt({ steps }: RunRecord, stops: readonly StopPoint[]): ServerReply | undefined {
  for (const stop of stops) {
    const line = steps.findLast(({ at, reply }) => at === stop && reply.length > 0)?.reply.at(-1);
    if (line !== undefined) return { code: Number(line.slice(0, 3)), text: line.slice(4) };
  }
  return undefined;
}

function troubleIn({ steps, errors }: RunRecord): string {
  const last = steps.findLast(({ at, expected }) => at !== "QUIT" && !expected);
  const words = last?.reply.at(-1) ?? errors.at(-1) ?? "the connection broke";
  return words.replace(/\s+/g, " ").slice(0, 200);
}
