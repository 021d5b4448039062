/** The mechanisms by which the probe can log in: one row each. */

import { loadMd4 } from "../passwd/md4.ts";
import { cramMd5, cramSha1, digestMd5 } from "../smtp/sasl/digest.ts";
import type { SaslMechanism } from "../smtp/sasl/mechanism.ts";
import { ntlm } from "../smtp/sasl/ntlm.ts";
import { external, login, loginInitial, oauthBearer, plain, xoauth2 } from "../smtp/sasl/plain.ts";
import { scrams } from "../smtp/sasl/scram.ts";

/** What a mechanism takes as the password. */
export type MechanismSecret = "password" | "token" | "none";

export interface MechanismRow {
  readonly mechanism: SaslMechanism;
  /** Other names by which servers announce it. */
  readonly aliases: readonly string[];
  /** Whether swaks 20240103 has it: the others are tried without being named only where none of these is offered. */
  readonly usual: boolean;
  readonly secret: MechanismSecret;
  /** For help and manual: a phrase. */
  readonly says: string;
}

const beyond = (
  mechanism: SaslMechanism,
  says: string,
  secret: MechanismSecret = "password",
): MechanismRow => ({
  mechanism,
  aliases: [],
  usual: false,
  secret,
  says,
});

const usual = (mechanism: SaslMechanism, says: string, aliases: readonly string[] = []): MechanismRow => ({
  mechanism,
  aliases,
  usual: true,
  secret: "password",
  says,
});

/** In the order in which they are tried: those of swaks by the alphabet, as swaks does, then the strongest first. */
export const mechanismRows: readonly MechanismRow[] = [
  usual(cramMd5, "a keyed digest of a challenge, by MD5"),
  usual(cramSha1, "the same by SHA-1"),
  usual(digestMd5, "a digest of realm, challenge and password; qop=auth"),
  usual(login, "user and password, each when asked"),
  usual(ntlm(loadMd4), "version 1, with both responses", ["SPA", "MSN"]),
  usual(plain, "user and password at once"),
  ...scrams.map((mechanism) =>
    beyond(
      mechanism,
      mechanism.name.endsWith("-PLUS") ? "bound to the TLS 1.3 session" : "both sides prove that they know",
    ),
  ),
  beyond(loginInitial, "LOGIN with the user in the command"),
  beyond(oauthBearer, "an OAuth 2.0 access token as the password", "token"),
  beyond(xoauth2, "the same as Google and Microsoft have it", "token"),
  beyond(external, "the client certificate; --auth-user says whom to be", "none"),
];

/** By the name that the probe has for it, in capitals. */
export const mechanismNamed = (name: string): SaslMechanism | undefined =>
  mechanismRows.find(({ mechanism }) => mechanism.name === name)?.mechanism;

/** All names, aliases too. */
export const mechanismNames: readonly string[] = mechanismRows.flatMap(({ mechanism, aliases }) => [
  mechanism.name,
  ...aliases,
]);
