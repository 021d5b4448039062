/**
 * Judges what a checkup found: each check with its state, what was found, and what to do where it is not well. Pure.
 */
import { daysLeft } from "../tls.ts";
import type { DnsFacts, LoginFacts, PortFacts, ServerReply, ServiceFacts } from "./gather.ts";

export type CheckState = "ok" | "warning" | "failed" | "unknown";

/** `advice`, one sentence, where something is to be done. */
export type CheckResult = readonly [state: CheckState, words: string, advice?: string];

export interface CheckFinding {
  /** Groups what belongs together: "DNS", "port 587", "login". */
  readonly area: string;
  readonly state: CheckState;
  /** What was found, in a few words. */
  readonly words: string;
  /** What to do, one sentence; absent where nothing is to be done. */
  readonly advice?: string;
}

/** All findings, in the order in which a person would look. */
export function judgeFacts(facts: ServiceFacts): readonly CheckFinding[] {
  const { dns, ports, login, domain, host, now } = facts;
  return [
    ...named("DNS", judgeDns(dns, domain, host)),
    ...ports.flatMap((port) => named(`port ${port.port}`, judgePort(port, host, now))),
    ...(login ? named("login", judgeLogin(login)) : []),
  ];
}

export const named = (area: string, verdicts: readonly CheckResult[]): readonly CheckFinding[] =>
  verdicts.map(([state, words, advice]) => ({ area, state, words, ...(advice !== undefined && { advice }) }));

function judgePort(port: PortFacts, host: string, now: number): readonly CheckResult[] {
  const { isConnected, trouble, greeting, times } = port;
  if (!isConnected)
    return [
      [
        "failed",
        `cannot be reached: ${trouble ?? "nobody answers"}`,
        "Is the service running, does it listen there, and does no firewall stand between?",
      ],
    ];
  const verdicts: CheckResult[] = [];
  if (greeting !== undefined) {
    const isGood = / ESMTP( |$)/.test(greeting);
    verdicts.push(
      isGood
        ? ["ok", `greets as ${greeting.slice(0, 100)}`]
        : ["warning", `greets as ${greeting.slice(0, 100)}`, "Some monitors want the word ESMTP in it."],
    );
  }
  if (port.kind === "starttls") verdicts.push(...judgeClear(port));
  if (port.tls) verdicts.push(...judgeTls(port, host, now));
  else
    verdicts.push([
      "failed",
      `TLS does not come about: ${trouble ?? "it is not offered"}`,
      "Without TLS no mail program shows its password.",
    ]);
  if (port.offers) verdicts.push(...judgeOffers(port.offers));
  verdicts.push(...judgeRefusals(port));
  const slowest = [...times].sort(([, one], [, other]) => other - one)[0];
  if (slowest) {
    const all = times.reduce((sum, [, time]) => sum + time, 0);
    const words = `answers in ${all.toFixed(0)} ms in all, slowest ${slowest[0]} with ${slowest[1].toFixed(0)} ms`;
    verdicts.push(
      slowest[1] > 2000
        ? ["warning", words, "Look for name servers that do not answer, and for a busy disk."]
        : ["ok", words],
    );
  }
  return verdicts;
}

function judgeClear({ inClear }: PortFacts): readonly CheckResult[] {
  if (!inClear) return [];
  return [
    inClear.has("STARTTLS")
      ? ["ok", "offers STARTTLS"]
      : [
          "failed",
          "does not offer STARTTLS",
          "Either the service has no certificate, or something on the way strips it: compare from another network.",
        ],
    inClear.has("AUTH")
      ? ["failed", "offers AUTH in clear", "Offer it inside TLS only, or passwords are sent for all to read."]
      : ["ok", "offers no AUTH in clear"],
  ];
}

function judgeTls({ tls, oldTls }: PortFacts, host: string, now: number): readonly CheckResult[] {
  if (!tls) return [];
  const [own] = tls.peer;
  const days = own ? daysLeft(own, now) : Number.NaN;
  return [
    tls.distrust === undefined
      ? ["ok", `${tls.version} with a chain that is trusted`]
      : [
          "failed",
          `the certificate is not trusted: ${tls.distrust}`,
          "Send the whole chain (fullchain.pem), of a CA that mail programs know.",
        ],
    tls.hostMatches
      ? ["ok", `the certificate is for ${host}`]
      : ["failed", `the certificate is not for ${host}`, "Get one that has this name."],
    judgeDaysLeft(days),
    oldTls === undefined
      ? ["unknown", "whether TLS 1.1 is taken could not be tried"]
      : oldTls
        ? ["warning", "TLS 1.1 or older is taken", "Take TLS 1.2 at least (RFC 8996)."]
        : ["ok", "TLS 1.1 and older are refused"],
  ];
}

/** Of a certificate. Whoever renews it does so 30 days before its end. */
export function judgeDaysLeft(days: number): CheckResult {
  if (days < 0) return ["failed", "the certificate has ended", "Renew it, and see why nobody did."];
  if (days >= 14) return ["ok", `the certificate is good for ${days} days`];
  return [
    "warning",
    `the certificate ends in ${days} days`,
    "Renew it; with Let's Encrypt look why that did not happen by itself.",
  ];
}

function judgeOffers(offers: ReadonlyMap<string, string>): readonly CheckResult[] {
  const auth = offers.get("AUTH");
  const size = offers.get("SIZE");
  return [
    auth === undefined
      ? ["failed", "offers no AUTH inside TLS", "Nobody can log in."]
      : /\b(?:PLAIN|LOGIN)\b/.test(auth)
        ? ["ok", `offers AUTH ${auth}`]
        : ["warning", `offers AUTH ${auth}`, "Some mail programs know PLAIN and LOGIN only."],
    size === undefined || size === "" || size === "0"
      ? [
          "warning",
          "tells no largest size",
          "Announce SIZE, so that a message that is too large is refused before it is sent.",
        ]
      : Number(size) < 10_000_000
        ? ["warning", `takes messages of up to ${mebibytes(size)}`, "Attachments of today are often larger."]
        : ["ok", `takes messages of up to ${mebibytes(size)}`],
  ];
}

const mebibytes = (size: string): string => `${(Number(size) / 2 ** 20).toFixed(1)} MiB`;

function judgeRefusals({ relaying, wrongPassword }: PortFacts): readonly CheckResult[] {
  return [
    ...(relaying
      ? [
          relaying.code < 400
            ? ([
                "failed",
                `relays for people who have not logged in (${said(relaying)})`,
                "Close it at once: spammers find such hosts within hours.",
              ] as const)
            : (["ok", `does not relay for people who have not logged in (${said(relaying)})`] as const),
        ]
      : []),
    ...(wrongPassword
      ? [
          wrongPassword.code === 535
            ? (["ok", `refuses a wrong password (${said(wrongPassword)})`] as const)
            : wrongPassword.code < 400
              ? ([
                  "failed",
                  `takes any password (${said(wrongPassword)})`,
                  "Shut it down, and look who has used it.",
                ] as const)
              : ([
                  "warning",
                  `answers a wrong password with ${said(wrongPassword)}`,
                  "535 is what makes mail programs ask for the password again.",
                ] as const),
        ]
      : []),
  ];
}

function judgeLogin({ user, login, forging, trouble }: LoginFacts): readonly CheckResult[] {
  if (!login) return [["unknown", `${user} could not log in: ${trouble ?? "AUTH was not reached"}`]];
  if (login.code !== 235)
    return [
      [
        "failed",
        `${user} cannot log in (${said(login)})`,
        "Check the user name and the password file that was given.",
      ],
    ];
  const verdicts: CheckResult[] = [["ok", `${user} can log in`]];
  if (forging) {
    verdicts.push(
      forging.code < 400
        ? [
            "failed",
            "may send as anybody",
            "Bind senders to logins, or one stolen password speaks for everyone.",
          ]
        : ["ok", `may not send as somebody else (${said(forging)})`],
    );
  }
  return verdicts;
}

const said = ({ code, text }: ServerReply): string =>
  `${code} ${text}`.replace(/\p{Cc}+/gu, " ").slice(0, 120);

/** The worst state of all, for Nagios. */
export function worstState(findings: readonly Pick<CheckFinding, "state">[]): CheckState {
  const order: readonly CheckState[] = ["failed", "unknown", "warning", "ok"];
  return order.find((state) => findings.some((finding) => finding.state === state)) ?? "unknown";
}

/** The grades of Nagios' plugins. */
export const nagiosGrades = { ok: 0, warning: 1, failed: 2, unknown: 3 } as const satisfies Readonly<
  Record<CheckState, number>
>;

const nagiosWords = { ok: "OK", warning: "WARNING", failed: "CRITICAL", unknown: "UNKNOWN" } as const;

/** The status line of a plugin for `findings`; `plugin` is its name, `subject` what was looked at. */
export function nagiosLine(
  plugin: string,
  subject: string,
  findings: readonly Pick<CheckFinding, "area" | "state" | "words">[],
): string {
  const worst = worstState(findings);
  const bad = findings.filter(({ state }) => state === worst && state !== "ok");
  const [first] = bad;
  const what = first
    ? `${first.area}: ${first.words}${bad.length > 1 ? ` (and ${bad.length - 1} more)` : ""}`
    : `${subject}: all ${findings.length} checks are well`;
  return `${plugin} ${nagiosWords[worst]} - ${what.replaceAll("|", "/")}\n`;
}

/** How a report shows each state. */
export const marks = { ok: "ok", warning: "warning", failed: "FAILED", unknown: "unknown" } as const;
export const markColours = { ok: "green", warning: "yellow", failed: "red", unknown: "magenta" } as const;

/** Addresses, SRV, PTR, SPF and DMARC. */
export function judgeDns(
  { addresses, srv, reverse, spf, dmarc }: DnsFacts,
  domain: string,
  host: string,
): readonly CheckResult[] {
  if (addresses === "trouble")
    return [
      [
        "unknown",
        `the DNS does not answer for ${host}`,
        "Check the resolver of this host, and the name servers of the domain.",
      ],
    ];
  if (addresses.length === 0) return [["failed", `${host} has no address`, "Add A and AAAA records for it."]];
  return [
    ["ok", `${host} has ${addresses.join(", ")}`],
    ...srv.map((fact): CheckResult => judgeSrv(fact, domain)),
    ...reverse.map(({ address, names, leadsBack }): CheckResult => {
      if (names === "trouble") return ["unknown", `the DNS does not tell the name of ${address}`];
      if (names.length === 0)
        return [
          "warning",
          `${address} has no name`,
          "Ask whoever provides the address for a PTR record; many receivers refuse mail from hosts without one.",
        ];
      return leadsBack
        ? ["ok", `${address} is ${names.join(", ")}, and back`]
        : [
            "warning",
            `${address} is called ${names.join(", ")}, which does not lead back to it`,
            "Let the name of the PTR record have this address.",
          ];
    }),
    ...spf.map(({ address, result }): CheckResult => judgeSpf(address, result, domain)),
    judgeDmarc(dmarc, domain),
  ];
}

function judgeSrv({ label, targets }: DnsFacts["srv"][number], domain: string): CheckResult {
  const name = `${label}.${domain}`;
  if (targets === "trouble") return ["unknown", `the DNS does not answer for ${name}`];
  const isWrong = !["_submission._tcp", "_submissions._tcp"].includes(label);
  if (targets.length === 0) {
    return [
      "warning",
      `there is no SRV record ${name}`,
      "Add it (RFC 6186, RFC 8314), so that mail programs find the service by the address alone.",
    ];
  }
  const shown = targets.map(({ host, port }) => `${host}:${port}`).join(", ");
  if (isWrong)
    return [
      "warning",
      `there is an SRV record ${name} (${shown})`,
      "No mail program asks for it: the labels are _submission._tcp and _submissions._tcp.",
    ];
  const alias = targets.find(({ isAlias }) => isAlias);
  if (alias)
    return [
      "failed",
      `${name} leads to ${alias.host}, which is an alias`,
      "Let the record name a host with addresses of its own (RFC 2782).",
    ];
  return ["ok", `${name} leads to ${shown}`];
}

function judgeSpf(address: string, result: string, domain: string): CheckResult {
  const found = `SPF of ${domain} for ${address}: ${result}`;
  switch (result) {
    case "pass":
      return ["ok", found];
    case "none":
      return [
        "warning",
        `${domain} has no SPF record`,
        `Add one that lets this service send: TXT "v=spf1 ip4:… -all".`,
      ];
    case "permerror":
      return [
        "failed",
        found,
        "The record is broken: one record only, known mechanisms, ten DNS questions at most (RFC 7208).",
      ];
    case "temperror":
    case "unknown":
      return ["unknown", found];
    default:
      return [
        "warning",
        found,
        `Add the address to the record where mail leaves from it; where it leaves by another host, this is as it should be.`,
      ];
  }
}

function judgeDmarc(dmarc: string | null, domain: string): CheckResult {
  if (dmarc === null) return ["unknown", `the DNS does not answer for _dmarc.${domain}`];
  if (dmarc === "")
    return [
      "warning",
      `${domain} has no DMARC record`,
      `Add TXT _dmarc.${domain} "v=DMARC1; p=none; rua=mailto:…" and read the reports.`,
    ];
  return ["ok", `DMARC: ${dmarc.slice(0, 100)}`];
}

/** Where mail for the domain goes: reports and answers to what the service sends. */
export function judgeMx(
  exchangers: readonly { readonly exchange: string }[] | "trouble",
  domain: string,
): CheckResult {
  if (exchangers === "trouble") return ["unknown", `the DNS does not tell the MX of ${domain}`];
  if (exchangers.length === 0)
    return [
      "warning",
      `${domain} has no MX record`,
      "Add one: answers and reports go there, and many receivers refuse mail from a domain that takes none.",
    ];
  return ["ok", `the MX of ${domain}: ${exchangers.map(({ exchange }) => exchange || ".").join(", ")}`];
}
