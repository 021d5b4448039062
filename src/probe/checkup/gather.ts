/** Finds the facts out: asks the DNS, and talks with the service as mail programs do, and as they should not. */

import type { Auth, Stop } from "../plan.ts";
import type { TlsFacts } from "../tls.ts";
import type { World } from "../transaction/session.ts";
import { loginBy, runErrand } from "../transaction/smtp-check.ts";
import type { Recorded } from "../transcript/journal.ts";
import { evaluateSpf, type Names, records } from "./spf.ts";

/** What is to be looked at. */
export interface Subject {
  readonly host: string;
  readonly domain: string;
  readonly doors: readonly Pick<DoorFacts, "kind" | "port">[];
  readonly login?: { readonly user: string; readonly password: string };
  /** Our name in EHLO. */
  readonly helo: string;
  /** Milliseconds for each answer. */
  readonly timeout: number;
  /** PEM of the CAs to trust instead of the system's. */
  readonly ca?: string;
}

export interface Surroundings {
  readonly world: World;
  readonly names: Names;
  /** The addresses of a host, as getaddrinfo(3) has them; rejects with node:dns's codes. */
  readonly lookup: (host: string) => Promise<readonly string[]>;
}

/** Somebody else's domain, at which nobody is (RFC 2606). */
const elsewhere = "example.com";

/** Everything about `subject`; `told` hears what is begun. */
export async function gatherFacts(
  subject: Subject,
  surroundings: Surroundings,
  told: (what: string) => void,
): Promise<Facts> {
  const { host, domain } = subject;
  told("the DNS");
  const dns = gatherDns(subject, surroundings);
  const doors: DoorFacts[] = [];
  for (const door of subject.doors) {
    told(`port ${door.port}`);
    doors.push(await gatherDoor(subject, door, surroundings.world));
  }
  // One wrong password is enough: more look like guessing.
  const door = doors.find(({ offers }) => offers?.has("AUTH") === true);
  if (door) told("a wrong password");
  const wrong = door && (await tryPassword(subject, door, surroundings.world));
  if (subject.login) told("the login");
  const login = subject.login && (await gatherLogin(subject, subject.login, door, surroundings.world));
  return {
    host,
    domain,
    dns: await dns,
    doors: doors.map((one) => (one === door && wrong ? { ...one, wrongPassword: wrong } : one)),
    ...(login && { login }),
    now: surroundings.world.now(),
  };
}

async function gatherDns({ host, domain }: Subject, { names, lookup }: Surroundings): Promise<DnsFacts> {
  const addresses = await records(lookup(host));
  const known = addresses === "trouble" ? [] : addresses;
  const labels = ["_submission._tcp", "_submissions._tcp"];
  // What people publish by mistake is told when it is there.
  const wrong = ["_smtp._tcp", "_smtps._tcp", "_submission-tls._tcp"];
  const [srv, mistakes, reverse, spf, dmarc] = await Promise.all([
    Promise.all(labels.map((label) => srvOf(label, domain, names))),
    Promise.all(wrong.map((label) => srvOf(label, domain, names))),
    Promise.all(known.map((address) => reverseOf(address, { names, lookup }))),
    Promise.all(
      known.map(async (address) => ({ address, result: await evaluateSpf(domain, address, names) })),
    ),
    dmarcOf(domain, names),
  ]);
  const published = mistakes.filter(({ targets }) => targets !== "trouble" && targets.length > 0);
  return { addresses, srv: [...srv, ...published], reverse, spf, dmarc };
}

async function srvOf(label: string, domain: string, names: Names): Promise<SrvFact> {
  const found = await records(names.resolveSrv(`${label}.${domain}`));
  if (found === "trouble") return { label, targets: "trouble" };
  const targets = await Promise.all(
    found.map(async ({ name, port }) => {
      const aliases = await records(names.resolveCname(name));
      return { host: name, port, isAlias: aliases !== "trouble" && aliases.length > 0 };
    }),
  );
  return { label, targets };
}

async function reverseOf(
  address: string,
  { names, lookup }: Pick<Surroundings, "names" | "lookup">,
): Promise<DnsFacts["reverse"][number]> {
  const found = await records(names.reverse(address));
  if (found === "trouble") return { address, names: found, leadsBack: false };
  const back = await Promise.all(found.map((name) => records(lookup(name))));
  return {
    address,
    names: found,
    leadsBack: back.some((addresses) => addresses !== "trouble" && addresses.includes(address)),
  };
}

async function dmarcOf(domain: string, names: Names): Promise<string | null> {
  const found = await records(names.resolveTxt(`_dmarc.${domain}`));
  if (found === "trouble") return null;
  return found.map((strings) => strings.join("")).find((text) => /^v=DMARC1\b/i.test(text)) ?? "";
}

async function gatherDoor(
  subject: Subject,
  door: Pick<DoorFacts, "kind" | "port">,
  world: World,
): Promise<DoorFacts> {
  // As far as a message to a stranger would get that nobody has logged in for.
  const { recorded, status } = await converse(subject, door, { stop: "RCPT" }, world);
  const isConnected = recorded.server !== undefined && recorded.steps.length > 0;
  const clear = helloIn(recorded, false);
  const inside = helloIn(recorded, true);
  const greeting = recorded.steps
    .find(({ at }) => at === "CONNECT")
    ?.reply.at(-1)
    ?.slice(4);
  const oldTls = recorded.tls ? await takesOldTls(subject, door, world) : undefined;
  const relaying = saidAt(recorded, ["RCPT", "MAIL"]);
  return {
    ...door,
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
  subject: Subject,
  door: Pick<DoorFacts, "kind" | "port">,
  world: World,
): Promise<boolean | undefined> {
  const versions = { oldest: "TLSv1", newest: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" };
  const { recorded } = await converse(subject, door, { stop: "TLS", versions }, world);
  if (recorded.tls) return true;
  return recorded.errors.some((text) => /no protocols available/i.test(text)) ? undefined : false;
}

async function tryPassword(subject: Subject, door: DoorFacts, world: World): Promise<Said | undefined> {
  const password = Buffer.from(world.random(18)).toString("base64url");
  const user = subject.login?.user ?? "tpa-submit-checkup";
  const { recorded } = await converse(
    subject,
    door,
    { stop: "AUTH", auth: authOf(user, password, door) },
    world,
  );
  return saidAt(recorded, ["AUTH"]);
}

async function gatherLogin(
  subject: Subject,
  { user, password }: { readonly user: string; readonly password: string },
  door: DoorFacts | undefined,
  world: World,
): Promise<LoginFacts> {
  if (!door) return { user, trouble: "no port offers AUTH inside TLS" };
  if (door.tls?.distrust !== undefined || door.tls?.hostMatches === false) {
    return { user, trouble: "the certificate is not to be trusted, so the password was not sent" };
  }
  const auth = authOf(user, password, door);
  const { recorded } = await converse(
    subject,
    door,
    { stop: "RCPT", auth, from: `somebody@${elsewhere}` },
    world,
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
function authOf(user: string, password: string, { offers }: DoorFacts): Auth {
  const type = /\bPLAIN\b/.test(offers?.get("AUTH") ?? "") ? "PLAIN" : "LOGIN";
  return loginBy([type], user, password);
}

interface Wish {
  readonly stop: Stop;
  readonly auth?: Auth;
  readonly from?: string;
  readonly versions?: { readonly oldest: string; readonly newest: string; readonly ciphers: string };
}

async function converse(
  { host, domain, helo, timeout, ca }: Subject,
  { kind, port }: Pick<DoorFacts, "kind" | "port">,
  { stop, auth, from = `checkup@${domain}`, versions }: Wish,
  world: World,
): ReturnType<typeof runErrand> {
  // Everything is wanted to be known, also of a certificate that nobody would trust.
  const isVerifying = auth !== undefined && from !== `checkup@${domain}`;
  return runErrand(
    { host, port, implicitTls: kind === "tls", helo, timeout, ...(ca !== undefined && { ca }) },
    {
      protocol: { from, to: [`checkup@${elsewhere}`], quitAfter: stop },
      tls: { verifyCa: isVerifying, verifyHost: isVerifying, ...versions },
      ...(auth && { auth }),
    },
    world,
  );
}

/** The keywords of the last EHLO that was answered in clear, or inside TLS. */
function helloIn({ steps }: Recorded, secure: boolean): ReadonlyMap<string, string> | undefined {
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

/** What was said at the first of `stops` that was reached, the last time. */
function saidAt({ steps }: Recorded, stops: readonly Stop[]): Said | undefined {
  for (const stop of stops) {
    const line = steps.findLast(({ at, reply }) => at === stop && reply.length > 0)?.reply.at(-1);
    if (line !== undefined) return { code: Number(line.slice(0, 3)), text: line.slice(4) };
  }
  return undefined;
}

function troubleIn({ steps, errors }: Recorded): string {
  const last = steps.findLast(({ at, expected }) => at !== "QUIT" && !expected);
  const words = last?.reply.at(-1) ?? errors.at(-1) ?? "the connection broke";
  return words.replace(/\s+/g, " ").slice(0, 200);
}

// What a checkup finds out about a submission service, before anybody judges it. Times in milliseconds.

/** What a server said to one command. */
export interface Said {
  readonly code: number;
  /** Last line, without the code. */
  readonly text: string;
}

/** One port, as a client meets it. */
export interface DoorFacts {
  readonly kind: "starttls" | "tls";
  readonly port: number;
  /** Why there was no conversation, or where it ended early; absent where all went as far as wanted. */
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
  /** RCPT to a stranger's domain by somebody who has not logged in, or the first refusal before it. */
  readonly relaying?: Said;
  /** AUTH with a password that is wrong. */
  readonly wrongPassword?: Said;
}

export interface LoginFacts {
  readonly user: string;
  /** AUTH. */
  readonly login?: Said;
  /** MAIL, or RCPT, with a sender of somebody else's domain. */
  readonly forging?: Said;
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

export interface Facts {
  readonly host: string;
  /** Whose mail it is. */
  readonly domain: string;
  readonly dns: DnsFacts;
  readonly doors: readonly DoorFacts[];
  /** Absent where no login was given. */
  readonly login?: LoginFacts;
  /** Milliseconds since the epoch. */
  readonly now: number;
}
