/** A TLS report (RFC 8460 section 4): JSON, of which generators leave out what they have nothing to say of. */
import {
  checkRange,
  countIn,
  deepest,
  mostRows,
  plainDomain,
  plainWords,
  type ReportedTlsFailure,
  type TlsPolicyResult,
  type TlsReport,
  Unreadable,
} from "./report.ts";

type JsonObject = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const objectIn = (value: unknown): JsonObject => (isObject(value) ? value : {});

const textIn = (value: unknown): string => (typeof value === "string" ? value : "");

/**
 * Reads `text`; undefined where it is another document than a report. `now` is in milliseconds since the epoch. Throws
 * Unreadable.
 */
export function readTlsReport(text: string, now: number): TlsReport | undefined {
  checkDepth(text);
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    throw new Unreadable("it is no JSON, or breaks off");
  }
  const report = objectIn(found);
  const range = objectIn(report["date-range"]);
  const policies = report["policies"];
  if (!Array.isArray(policies) || !isObject(report["date-range"])) return undefined;
  const id = textIn(report["report-id"]);
  if (id === "") throw new Unreadable("it does not say which report it is");
  const from = momentIn(range["start-datetime"]);
  const to = momentIn(range["end-datetime"]);
  checkRange(from, to, now);
  if (policies.length > mostRows) throw new Unreadable(`it has more than ${mostRows} policies`);
  const contact = textIn(report["contact-info"]);
  return {
    kind: "tls",
    organization:
      plainWords(textIn(report["organization-name"])) ||
      plainDomain(contact.slice(contact.lastIndexOf("@") + 1)) ||
      "(no name)",
    id: id.slice(0, 512),
    from,
    to,
    policies: policies.map(policyIn),
  };
}

function policyIn(found: unknown): TlsPolicyResult {
  const result = objectIn(found);
  const policy = objectIn(result["policy"]);
  const summary = objectIn(result["summary"]);
  const domain = plainDomain(textIn(policy["policy-domain"]));
  if (domain === "") throw new Unreadable("a policy in it has no domain");
  const details = result["failure-details"];
  const failures = Array.isArray(details) ? details.slice(0, mostRows).map(failureIn) : [];
  return {
    domain,
    type: plainWords(textIn(policy["policy-type"]), 40),
    good: countIn(summary["total-successful-session-count"] ?? 0, "a count"),
    bad: countIn(summary["total-failure-session-count"] ?? 0, "a count"),
    failures,
  };
}

function failureIn(found: unknown): ReportedTlsFailure {
  const failure = objectIn(found);
  return {
    type: plainWords(textIn(failure["result-type"]), 40) || "unknown",
    mx: plainDomain(textIn(failure["receiving-mx-hostname"])),
    count: countIn(failure["failed-session-count"] ?? 0, "a count"),
  };
}

/** RFC 3339; refuses what Date would guess at. */
function momentIn(value: unknown): number {
  const text = textIn(value);
  if (!/^\d{4}-\d\d-\d\dT[\d:.]{5,20}(?:Z|[+-]\d\d:?\d\d)?$/i.test(text))
    throw new Unreadable("its range of time cannot be read");
  const at = Date.parse(/\d$/.test(text) && !/[+-]\d\d:?\d\d$/.test(text) ? `${text}Z` : text);
  if (Number.isNaN(at)) throw new Unreadable("its range of time cannot be read");
  return at;
}

/** Before the parser sees it, so that it never recurses deeper than any report does. */
function checkDepth(text: string): void {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (quoted) {
      if (character === "\\") at++;
      else if (character === '"') quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === "{" || character === "[") depth++;
    else if (character === "}" || character === "]") depth--;
    if (depth > deepest) throw new Unreadable("it is nested too deep");
  }
}
