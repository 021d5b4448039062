/** The keys that sign what leaves: that they can be used, how old they are, and what the DNS says of them. */
import { type KeyPlace, keyPlaces } from "../../config/domains.ts";
import type { Config } from "../../config/settings.ts";
import { namesUpwards } from "../../server/delivery/dkim/signer.ts";
import { type Published, recordName } from "../../smtp/dkim/record.ts";
import { type KeyOnDisk, keysOfPlace } from "../dkim/folder.ts";
import { mayGoAt } from "../dkim/plan.ts";
import { type Look, orFailures } from "./context.ts";
import { cannotTell, fail, fine, type Judgement, warn } from "./rows.ts";

const day = 86_400_000;

/** From when a key is old, and when one that waits was forgotten. Our choice; the alert has the same. */
const oldKey = 400 * day;
const forgotten = 30 * day;

export const dkim: Look = ({ config, now }) =>
  orFailures(async () => {
    const keys = await Promise.all(keyPlaces(config).map(keysOfPlace));
    return [
      ...keyPlaces(config).flatMap((place, at) => judgePlace(place, keys[at] ?? [], config, now())),
      ...judgeReports(config, keys.flat()),
    ];
  });

function judgePlace(
  { folder }: KeyPlace,
  keys: readonly KeyOnDisk[],
  config: Config,
  now: number,
): readonly Judgement[] {
  const signing = keys.filter(isSigning);
  if (signing.length === 0)
    return [warn(folder, "no key signs yet", "tpa-submit dkim new, publish, rotate.")];
  const domains = [...new Set(signing.map(({ domain }) => domain))];
  return [
    ...domains.flatMap((domain) =>
      judgeDomain(
        domain,
        signing.filter((key) => key.domain === domain),
        now,
      ),
    ),
    ...keys.flatMap((key) => judgeIdle(key, mayGoAt(key, config), now)),
  ];
}

const isSigning = ({ state }: KeyOnDisk): boolean => state.name === "active";

/** RFC 8460 section 3: a report by mail without a valid signature is not believed. */
function judgeReports(
  { hostname, "tls-reports": { send } }: Config,
  keys: readonly KeyOnDisk[],
): readonly Judgement[] {
  const names = namesUpwards(hostname.toLowerCase());
  if (!send || keys.some((key) => isSigning(key) && names.includes(key.domain))) return [];
  return [
    warn(
      "tls-reports.send",
      `no key of ${hostname} or of a domain above it signs, and receivers pass over reports by mail without a signature`,
      "tpa-submit dkim new, publish, rotate; or set tls-reports.send to false.",
    ),
  ];
}

function judgeDomain(domain: string, keys: readonly KeyOnDisk[], now: number): readonly Judgement[] {
  const days = ({ made }: KeyOnDisk): number => Math.floor((now - made) / day);
  const shown = keys.map((key) => `${key.selector} (${key.kind}, ${days(key)} days old)`).join(", ");
  const rsa = keys.filter(({ kind }) => kind === "rsa");
  const short = rsa.find(({ key }) => (key.asymmetricKeyDetails?.modulusLength ?? 0) < 2048);
  const old = keys.find(({ made }) => now - made > oldKey);
  return [
    fine(domain, `signed by ${shown}`),
    ...(rsa.length === 0
      ? [
          warn(
            domain,
            "has no RSA key, and many receivers know no other",
            "tpa-submit dkim new, publish, rotate.",
          ),
        ]
      : []),
    ...(short ? [warn(domain, `the key of ${short.selector} is short: receivers advise 2048 bits`)] : []),
    ...(old ? [warn(domain, `the key of ${old.selector} is ${days(old)} days old`)] : []),
  ];
}

/** Keys that wait for somebody. */
function judgeIdle(key: KeyOnDisk, mayGo: number | undefined, now: number): readonly Judgement[] {
  const { domain, selector, state, made } = key;
  if (state.name === "new" && now - made > forgotten)
    return [
      warn(
        domain,
        `the new key of ${selector} waits for weeks`,
        "Publish its record and rotate, or retire it.",
      ),
    ];
  if (mayGo !== undefined && mayGo < now)
    return [
      fine(domain, `${selector} has had its time: tpa-submit dkim retire ${domain}, then remove its record`),
    ];
  return [];
}

export const selectors: Look = ({ config }) =>
  orFailures(async () => {
    const { publishedOf } = await import("../dkim/published.ts");
    const keys = (await Promise.all(keyPlaces(config).map(keysOfPlace))).flat();
    const published = await publishedOf(keys, config);
    return keys.flatMap((key, at) => judgeRecord(key, published[at]));
  });

function judgeRecord(
  { selector, domain, state }: KeyOnDisk,
  published: Published | undefined,
): readonly Judgement[] {
  const name = recordName(selector, domain);
  if (published === undefined) return [];
  if (published.state === "published") {
    const next = state.name === "new" ? `: tpa-submit dkim rotate ${domain} lets it sign` : "";
    return [fine(name, `the DNS has the key${next}`)];
  }
  const words = `the record ${published.words}`;
  if (published.state === "unanswered") return [cannotTell(name, words)];
  if (state.name === "new") return [fine(name, `${words}; the key does not sign yet`)];
  if (state.name === "active") return [fail(name, `${words}, and mail is signed with this key`)];
  return [warn(name, `${words}; mail that this key signed may be under way`, "Put it back for now.")];
}
