/** The certificates, as clients will meet them; and whether a renewed one gets to where the relay reads it. */
import { X509Certificate } from "node:crypto";
import { readdir, readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import { judgeDaysLeft } from "../../probe/checkup/judge.ts";
import { matchesHost } from "../../probe/tls.ts";
import { type Certificate as HostCertificate, readCertificate } from "../../server/submission/certificate.ts";
import { allOf, daysLeft } from "../serve/certificates.ts";
import { type Look, orFailures, orUndefined } from "./context.ts";
import { fail, fine, type Judgement, warn } from "./rows.ts";

export const certificate: Look = ({ config: { tls, hostname }, now }) =>
  orFailures(async () => {
    const all = allOf(await readCertificate(tls));
    const found = all.flatMap((one) => judgeCertificate(one, now()));
    const isNamed = all.some(({ cert }) => matchesHost(new X509Certificate(cert), hostname));
    if (isNamed) return [...found, fine(tls.certificate, `for ${hostname}, as hostname says`)];
    return [
      ...found,
      warn(
        tls.certificate,
        `not for ${hostname}, which is hostname`,
        `Get one with the name that people type into their mail programs, and with ${hostname} if that is it.`,
      ),
    ];
  });

function judgeCertificate(one: HostCertificate, now: number): readonly Judgement[] {
  const { file, names, until, gap } = one;
  const end = new Date(until).toISOString();
  const days = daysLeft(one, now);
  const [state, , advice] = judgeDaysLeft(days);
  if (state === "failed") return [fail(file, `expired on ${end}; clients would refuse it`, advice)];
  const words = `certificate for ${names}, valid until ${end}, ${days} days from now`;
  return [
    state === "ok" ? fine(file, words) : warn(file, words, advice),
    ...(gap === undefined ? [] : [warn(file, gap)]),
  ];
}

// Renewal: certbot, dehydrated and lego each run a hook when there is a new certificate.

/** What is known of how certificates are renewed on this host. */
export interface RenewalFacts {
  /** The first certificate, and where links lead from there. */
  readonly paths: readonly string[];
  /** Days from its beginning to its end. */
  readonly lifetime: number;
  /** Programs that renew certificates here: "certbot". */
  readonly clients: readonly string[];
  /** What each runs when it has renewed one: a path, and the text of what is there. */
  readonly hooks: readonly { readonly path: string; readonly text: string }[];
}

/** Where ACME clients keep what they renew, and the relay may read it from there. */
const homes: readonly string[] = [
  "/etc/letsencrypt/",
  "/var/lib/dehydrated/",
  "/var/lib/lego/",
  "/etc/lego/",
];

/** Days up to which a certificate is taken for one that a program must renew. Let's Encrypt's have 90. */
const shortLife = 100;

export function judgeRenewal({ paths, lifetime, clients, hooks }: RenewalFacts): Judgement {
  const [path = ""] = paths;
  if (paths.some((one) => homes.some((home) => one.startsWith(home)))) {
    return fine(path, "read where it is renewed, and noticed within a minute");
  }
  const hook = hooks.find(({ text }) => text.includes("tpa-submit") || text.includes(path));
  if (hook) return fine(hook.path, "brings a renewed certificate");
  if (clients.length > 0) {
    return warn(path, `${clients.join(" and ")} is set up here, but no hook of it brings a new certificate`);
  }
  return lifetime > shortLife
    ? fine(path, "nothing renews certificates here; somebody must before its end")
    : warn(path, `it is for ${lifetime} days only, and nothing renews certificates here`);
}

export const renewal: Look = async ({ config: { tls } }) => {
  const facts = await renewalFacts(tls.certificate, "/");
  return facts ? [judgeRenewal(facts)] : [];
};

/** Undefined where the certificate cannot be read. `root` is the folder that stands for "/". */
export async function renewalFacts(path: string, root: string): Promise<RenewalFacts | undefined> {
  const pem = await orUndefined(readFile(path, "utf8"));
  const lifetime = pem === undefined ? undefined : lifetimeOf(pem);
  if (lifetime === undefined) return undefined;
  const real = await orUndefined(realpath(path));
  const under = (name: string): string => join(root, name);
  const configurations = await textsIn(under("etc/letsencrypt/renewal"), (name) => name.endsWith(".conf"));
  const dehydrated = [
    ...(await textsOf([under("etc/dehydrated/config")])),
    ...(await textsIn(under("etc/dehydrated/conf.d"), (name) => name.endsWith(".sh"))),
  ];
  const named = dehydrated.flatMap(({ text }) =>
    [...text.matchAll(/^HOOK="?([^"\n]+)"?/gm)].map(([, hook = ""]) => hook),
  );
  const lego = [
    ...(await textsIn(under("etc/systemd/system"), (name) => name.includes("lego"))),
    ...(await textsIn(under("etc/cron.d"), (name) => name.includes("lego"))),
  ];
  const hooks = [
    ...(await textsIn(under("etc/letsencrypt/renewal-hooks/deploy"), (name) => !name.startsWith("."))),
    ...configurations.filter(({ text }) => /^renew_hook/m.test(text)),
    ...(await textsOf(named.map((hook) => under(hook)))),
    ...lego,
  ];
  const clients = [
    ...(configurations.length > 0 ? ["certbot"] : []),
    ...(dehydrated.length > 0 ? ["dehydrated"] : []),
    ...(lego.length > 0 ? ["lego"] : []),
  ];
  return { paths: real === undefined ? [path] : [path, real], lifetime, clients, hooks };
}

function lifetimeOf(pem: string): number | undefined {
  try {
    const { validFrom, validTo } = new X509Certificate(pem);
    return Math.round((Date.parse(validTo) - Date.parse(validFrom)) / 86_400_000);
  } catch {
    return undefined; // the check of the certificate says what is wrong with it
  }
}

async function textsIn(folder: string, isWanted: (name: string) => boolean): Promise<RenewalFacts["hooks"]> {
  const found = (await orUndefined(readdir(folder))) ?? [];
  return textsOf(found.filter(isWanted).map((name) => join(folder, name)));
}

async function textsOf(paths: readonly string[]): Promise<RenewalFacts["hooks"]> {
  const texts = await Promise.all(
    paths.map(async (path) => ({ path, text: await orUndefined(readFile(path, "utf8")) })),
  );
  return texts.flatMap(({ path, text }) => (text === undefined ? [] : [{ path, text }]));
}
