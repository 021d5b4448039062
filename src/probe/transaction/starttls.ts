/** TLS in a session: when it begins, what the transcript shows of it, and whether it is good enough. */
import { isIP } from "node:net";
import type { TlsPlan } from "../plan.ts";
import { certificatePem, describeCertificate, openTls, type TlsFacts } from "../tls.ts";
import { explainDane, explainTls } from "../transcript/explain.ts";
import { again, leave, quit, type RunEnding } from "./conversation.ts";
import type { ProbeSession } from "./session.ts";

/** STARTTLS, where the plan has it. */
export async function startTls(session: ProbeSession): Promise<RunEnding | undefined> {
  const { transcript, conversation, offers } = session;
  const { tls } = session.plan;
  if (tls === undefined) return undefined;
  if (!offers.has("STARTTLS")) {
    transcript.error("Host did not advertise STARTTLS");
    return tls.need === "required" ? quit("tls") : undefined;
  }
  const answer = await conversation.ask("TLS", "STARTTLS", "220");
  if (answer.ending !== undefined) return answer.ending;
  // Refused by a reply: nothing has begun, and the connection is as good as before.
  const [refused, failed] = tls.need === "optional" ? [undefined, again] : [leave("tls"), leave("tls")];
  if (answer.ok) {
    const ending = await secure(session, tls, failed);
    session.isHelloDue = true;
    if (ending === undefined) return undefined;
    transcript.error("STARTTLS attempted but failed");
    return ending;
  }
  transcript.error("STARTTLS attempted but failed");
  return refused;
}

/**
 * The handshake, and what is shown of it. `failed` is the ending where it fails: the same connection is never used on
 * in clear, as the other side's half of a handshake may still come.
 */
export async function secure(
  session: ProbeSession,
  tls: TlsPlan,
  failed: RunEnding,
): Promise<RunEnding | undefined> {
  const { transcript, conversation, dependencies, plan, host } = session;
  const peer = { trusted: tls.ca ?? dependencies.systemCa(), ...(host === undefined ? {} : { host }) };
  let facts: TlsFacts | undefined;
  await conversation.wrap(async (stream) => {
    const handshake = await openTls(stream, tls, peer, plan.protocol.timeout);
    if (handshake.kind === "failed") {
      startupFailed(session, handshake.reason);
      return undefined;
    }
    facts = handshake.facts;
    return handshake.stream;
  });
  if (facts === undefined) return failed;
  session.journal.secured(facts);
  for (const line of linesAbout(facts)) transcript.info(line);
  explainTls(transcript, facts, dependencies.now());
  await lookUpDane(session, facts);
  const complaints = complaintsAbout(facts, tls);
  if (complaints.length > 0) {
    startupFailed(session, complaints.join(", "));
    // Verification was asked for and failed: that ends the run even where TLS itself is optional.
    return leave("tls");
  }
  return keepCertificates(session, facts, tls);
}

/** For --explain and --json. Through a proxy the DNS is not asked: that would reveal where the proxy leads. */
async function lookUpDane(session: ProbeSession, { peer }: TlsFacts): Promise<void> {
  const { plan, host, port, dependencies, journal, transcript } = session;
  const isWanted = plan.output.explain || plan.output.json;
  const isDirect = plan.transport.kind === "inet" && plan.transport.via === undefined;
  if (!isWanted || !isDirect || host === undefined || port === undefined || isIP(host) !== 0) return;
  const dane = await dependencies.dane?.(host, port, peer);
  if (dane === undefined) return;
  journal.daneChecked(dane);
  explainDane(transcript, dane);
}

function startupFailed({ transcript }: ProbeSession, reason: string): void {
  transcript.error(`TLS startup failed (connect(): ${reason})`);
}

/** The lines of swaks 20240103. */
function linesAbout(facts: TlsFacts): readonly string[] {
  const { version, cipher, bits, asked, client, peer } = facts;
  const requested = asked ? "requested" : "not requested";
  const sent = asked && client.length > 0 ? "sent" : "not sent";
  return [
    `TLS started with cipher ${version}:${cipher}:${bits}`,
    `TLS client certificate ${requested} and ${sent}`,
    ...(client.length === 0 ? ["TLS no client certificate set"] : []),
    ...client.flatMap((certificate, index) => described(`TLS client[${index}]`, certificate)),
    ...peer.flatMap((certificate, index) => described(`TLS peer[${index}]`, certificate)),
    `TLS peer certificate ${verdictOnChain(facts)}, ${verdictOnHost(facts)}`,
  ];
}

function described(who: string, certificate: Parameters<typeof describeCertificate>[0]): readonly string[] {
  const [subject, names] = describeCertificate(certificate);
  return [`${who.padEnd(13)} ${subject}`, `${" ".repeat(13)} ${names}`];
}

const verdictOnChain = ({ distrust }: TlsFacts): string =>
  distrust === undefined ? "passed CA verification" : `failed CA verification (${distrust})`;

function verdictOnHost({ host, hostMatches }: TlsFacts): string {
  if (host === undefined) return "failed host verification (no host string available to verify)";
  return `${hostMatches ? "passed" : "failed"} host verification (using host ${host} to verify)`;
}

/** Everything that is wrong, where anything is wrong that is to be verified. */
function complaintsAbout(facts: TlsFacts, { verifyCa, verifyHost }: TlsPlan): readonly string[] {
  const { distrust, host, hostMatches } = facts;
  const isWrong = (verifyCa && distrust !== undefined) || (verifyHost && !hostMatches);
  if (!isWrong) return [];
  return [
    ...(distrust === undefined ? [] : [`certificate verification failed (${distrust})`]),
    ...(hostMatches
      ? []
      : host === undefined
        ? ["no host available for host verification"]
        : [`server certificate did not match target host ${host}`]),
  ];
}

/** --tls-get-peer-cert and --tls-get-peer-chain: printed, or into a file. */
function keepCertificates(
  { transcript, dependencies }: ProbeSession,
  { peer }: TlsFacts,
  tls: TlsPlan,
): RunEnding | undefined {
  const wanted = [
    [tls.saveCertificate, peer.slice(0, 1)],
    [tls.saveChain, peer],
  ] as const;
  for (const [path, certificates] of wanted) {
    const pem = certificates.map(certificatePem).join("");
    if (path === "") transcript.info(pem.trimEnd());
    else if (path !== undefined) {
      const trouble = dependencies.save(path, pem);
      if (trouble === undefined) continue;
      transcript.error(`${path} could not be written (${trouble})`);
      return quit("options");
    }
  }
  return undefined;
}
