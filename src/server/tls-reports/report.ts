/** A TLS report as RFC 8460 has it: its JSON (section 4), the mail that brings it (section 5.3), and who asks for it. Pure. */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { formatDate } from "../../smtp/date.ts";
import type { DomainDay, PolicyCount, TlsFailureCount } from "./tally.ts";

/** Who reports. */
export interface Reporting {
  /** In words. */
  readonly organization: string;
  /** An address, for questions. */
  readonly contact: string;
  /** The domain in whose name mail is sent: the submitter. */
  readonly domain: string;
  /** Of this relay: reports come from there, and are signed by its keys. */
  readonly hostname: string;
}

/** Where a domain wants its reports. */
export type ReportTarget =
  | { readonly kind: "mail"; readonly address: string }
  | { readonly kind: "web"; readonly url: string };

/** Our choice: each domain names one or two. */
const mostTargets = 3;

/**
 * The targets in the TXT records of `_smtp._tls.DOMAIN` (section 3); none where there is no such record, or several.
 */
export function targetsIn(texts: readonly string[]): readonly ReportTarget[] {
  const [text, ...others] = texts.filter((one) => /^v=TLSRPTv1[ \t]*;/.test(one));
  if (text === undefined || others.length > 0) return [];
  const field = text
    .split(";")
    .map((one) => one.trim())
    .find((one) => /^rua[ \t]*=/i.test(one));
  const uris = (field?.slice(field.indexOf("=") + 1) ?? "").split(",").slice(0, mostTargets);
  return uris.flatMap((one) => targetIn(one.trim()) ?? []);
}

function targetIn(uri: string): ReportTarget | undefined {
  if (uri.length > 500 || !URL.canParse(uri)) return undefined;
  const { protocol, pathname, username, href } = new URL(uri);
  if (protocol === "https:" && username === "") return { kind: "web", url: href };
  if (protocol !== "mailto:") return undefined;
  try {
    const address = decodeURIComponent(pathname);
    const isPlain = /^[\w.+=~-]{1,64}@[a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?$/i.test(address);
    return isPlain ? { kind: "mail", address } : undefined;
  } catch {
    return undefined; // a percent sign that means nothing
  }
}

/** The first and the last second of the day. */
const rangeOf = (day: string): readonly [begin: string, end: string] => [
  `${day}T00:00:00Z`,
  `${day}T23:59:59Z`,
];

/** The same for the same day and domain, whenever it is written: who gets it twice knows it. */
const idOf = ({ day, domain }: DomainDay, { hostname }: Reporting): string =>
  `${createHash("sha256").update(`${day} ${domain} ${hostname}`).digest("hex").slice(0, 24)}@${hostname}`;

export function reportJson(counted: DomainDay, reporting: Reporting): string {
  const { organization, contact } = reporting;
  const [begin, end] = rangeOf(counted.day);
  return JSON.stringify({
    "organization-name": organization,
    "date-range": { "start-datetime": begin, "end-datetime": end },
    "contact-info": contact,
    "report-id": idOf(counted, reporting),
    policies: counted.policies.map((policy) => policyJson(policy, counted.domain)),
  });
}

function policyJson({ demanded, good, bad, failures }: PolicyCount, domain: string): object {
  const { type, strings, hosts } = demanded;
  return {
    policy: {
      "policy-type": type,
      ...(strings.length > 0 && { "policy-string": strings }),
      "policy-domain": domain,
      ...(hosts.length > 0 && { "mx-host": hosts }),
    },
    summary: { "total-successful-session-count": good, "total-failure-session-count": bad },
    ...(failures.length > 0 && { "failure-details": failures.map(failureJson) }),
  };
}

const failureJson = ({ type, code, host, address, count }: TlsFailureCount): object => ({
  "result-type": type,
  ...(host !== "" && { "receiving-mx-hostname": host }),
  ...(address !== "" && { "receiving-ip": address }),
  "failed-session-count": count,
  ...(code !== "" && { "failure-reason-code": code }),
});

export const packedReport = (counted: DomainDay, reporting: Reporting): Buffer =>
  gzipSync(reportJson(counted, reporting));

/** Section 5.1. */
function fileName({ day, domain }: DomainDay, { domain: submitter }: Reporting): string {
  const [begin, end] = rangeOf(day).map((time) => Date.parse(time) / 1000);
  return `${submitter}!${domain}!${begin}!${end}!001.json.gz`;
}

/** The mail of section 5.3 to `address`. `now` is in milliseconds since the epoch. */
export function reportMail(
  counted: DomainDay,
  reporting: Reporting,
  address: string,
  messageId: string,
  now: number,
): Buffer {
  const { domain } = counted;
  const { organization, contact, domain: submitter, hostname } = reporting;
  const packed =
    packedReport(counted, reporting)
      .toString("base64")
      .match(/.{1,76}/g) ?? [];
  const boundary = `=_${createHash("sha256").update(messageId).digest("hex").slice(0, 40)}`; // "=_" is in no base64
  const name = fileName(counted, reporting);
  return Buffer.from(
    [
      `Date: ${formatDate(now)}`,
      `From: <tls-reports@${hostname}>`,
      `To: <${address}>`,
      `Reply-To: <${contact}>`,
      `Subject: Report Domain: ${domain}`,
      ` Submitter: ${submitter}`,
      ` Report-ID: <${idOf(counted, reporting)}>`,
      `Message-ID: <${messageId}>`,
      `TLS-Report-Domain: ${domain}`,
      `TLS-Report-Submitter: ${submitter}`,
      "TLS-Required: No", // section 3: it is sent though TLS fails
      "Auto-Submitted: auto-generated", // RFC 3834 section 5
      "MIME-Version: 1.0",
      'Content-Type: multipart/report; report-type="tlsrpt";',
      ` boundary="${boundary}"`,
      "",
      "This is an aggregate TLS report (RFC 8460).",
      "",
      `--${boundary}`,
      "Content-Type: text/plain; charset=us-ascii",
      "",
      `This is an aggregate TLS report on ${domain}`,
      `of ${counted.day} (UTC) by ${asciiWords(organization)}.`,
      `Questions: ${contact}`,
      "",
      `--${boundary}`,
      "Content-Type: application/tlsrpt+gzip",
      "Content-Transfer-Encoding: base64",
      "Content-Disposition: attachment;",
      ` filename="${name}"`,
      "",
      ...packed,
      "",
      `--${boundary}--`,
      "",
    ].join("\r\n"),
  );
}

const asciiWords = (text: string): string => text.replace(/[^ -~]+/g, "?").slice(0, 200);
