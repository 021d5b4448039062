/** SCRAM message by message: the examples of the RFCs, channel binding, and what is wrong with some messages. */
import { describe, expect, test } from "vitest";
import { indexLogins } from "../../../../src/passwd/logins.ts";
import { parsePasswordFile } from "../../../../src/passwd/password-file.ts";
import { newSaslLogins } from "../../../../src/passwd/sasl-logins.ts";
import type {
  SaslContext,
  SaslMechanismName,
  SaslStep,
} from "../../../../src/server/submission/auth/exchange.ts";
import { startSasl } from "../../../../src/server/submission/auth/mechanisms.ts";
import { clientFinal } from "./scram-client.ts";

// "pencil", keyed by Python's hashlib.
const passwordFile = `user:{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=
user:{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=
a=b,c:{PLAIN}pencil`;

const logins = indexLogins(parsePasswordFile(passwordFile), "example.org");
const proofs = newSaslLogins(async () => logins, "example.org", Buffer.from("secret"));

const binding = Buffer.from("octets of this connection alone.");
const offered: readonly SaslMechanismName[] = [
  "SCRAM-SHA-1",
  "SCRAM-SHA-1-PLUS",
  "SCRAM-SHA-256",
  "SCRAM-SHA-256-PLUS",
];
const ground: SaslContext = { offered, hostname: "relay.example.org", binding, nonce: () => "NONCE" };

const encoded = (text: string): string => Buffer.from(text).toString("base64");

/** Says `messages` one after the other, in clear; gives what came to each. */
async function exchange(
  mechanism: SaslMechanismName,
  changes: Partial<SaslContext>,
  ...messages: readonly (string | ((said: string) => string))[]
): Promise<readonly string[]> {
  const said: string[] = [];
  let step: SaslStep = startSasl(mechanism, { ...ground, ...changes });
  for (const message of messages) {
    if (step.kind !== "challenge") throw new Error(`no challenge but ${JSON.stringify(step)}`);
    step = step.next(encoded(typeof message === "string" ? message : message(said.at(-1) ?? "")));
    if (step.kind === "question") step = await step.lookUp(proofs);
    said.push(inWords(step));
  }
  return said;
}

function inWords(step: SaslStep): string {
  switch (step.kind) {
    case "challenge":
      return Buffer.from(step.challenge, "base64").toString();
    case "refused":
      return `${step.reply.code} ${step.reply.status} ${step.reply.text}`;
    case "question":
      return "question";
    case "credentials": {
      const { login, authzid, verdict } = step.credentials;
      return `${login} for "${authzid}": ${verdict?.kind === "accepted" ? "accepted" : verdict?.reason}`;
    }
  }
}

describe("the example of", () => {
  test("RFC 5802 section 5", async () => {
    const nonce = (): string => "3rfcNHYJY1ZVvWVs7j";
    const said = await exchange(
      "SCRAM-SHA-1",
      { nonce },
      "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
      "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
      "",
    );
    expect(said).toEqual([
      "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
      "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
      'user for "": accepted',
    ]);
  });

  test("RFC 7677 section 3", async () => {
    const nonce = (): string => "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const said = await exchange(
      "SCRAM-SHA-256",
      { nonce },
      "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
      "",
    );
    expect(said).toEqual([
      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
      "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
      'user for "": accepted',
    ]);
  });
});

/** The last message of a client that knows "pencil" and binds `bound` to the header of `first`. */
const last =
  (
    first: string,
    bound: Uint8Array = Buffer.alloc(0),
    password = "pencil",
    digest: "sha1" | "sha256" = "sha256",
  ) =>
  (server: string): string =>
    clientFinal({ digest, first, bound, password }, server);

const plus = "p=tls-exporter,,n=user,r=client";

test("the octets of tls-exporter bind the exchange to its connection (RFC 9266)", async () => {
  const said = await exchange("SCRAM-SHA-256-PLUS", {}, plus, last(plus, binding), "");
  expect(said.at(-1)).toBe('user for "": accepted');
  const [, other] = await exchange("SCRAM-SHA-256-PLUS", {}, plus, last(plus, Buffer.from("another's")));
  expect(other).toBe('user for "": channel binding of another connection');
  const sha1 = await exchange("SCRAM-SHA-1-PLUS", {}, plus, last(plus, binding, "pencil", "sha1"), "");
  expect(sha1.at(-1)).toBe('user for "": accepted');
});

test("a client that believes there is no channel binding where there is was deceived (RFC 5802 section 6)", async () => {
  const [, first] = ["", "y,,n=user,r=client"];
  expect(await exchange("SCRAM-SHA-256", {}, first)).toEqual([
    'user for "": channel binding was withheld from the client',
  ]);
  const without = { offered: ["SCRAM-SHA-256"] as const, binding: undefined };
  const said = await exchange("SCRAM-SHA-256", without, first, last(first), "");
  expect(said.at(-1)).toBe('user for "": accepted');
});

test.each<[string, string, string]>([
  ["an authorization identity", "n,a=user,n=user,r=client", 'user for "user": accepted'],
  ["commas and equals signs in a name", "n,,n=a=3Db=2Cc,r=client", 'a=b,c for "": accepted'],
  ["extensions behind the nonce", "n,,n=user,r=client,x=some thing", 'user for "": accepted'],
])("%s may be there", async (_, first, outcome) => {
  expect((await exchange("SCRAM-SHA-256", {}, first, last(first), "")).at(-1)).toBe(outcome);
});

const noFirst = "501 5.5.2 This is no first message of SCRAM";

test.each<[string, SaslMechanismName, string, string]>([
  ["nothing", "SCRAM-SHA-256", "", noFirst],
  ["no header", "SCRAM-SHA-256", "n=user,r=client", noFirst],
  ["an extension that must be understood", "SCRAM-SHA-256", "n,,m=x,n=user,r=client", noFirst],
  ["no name", "SCRAM-SHA-256", "n,,n=,r=client", noFirst],
  ["a name with a wrong escape", "SCRAM-SHA-256", "n,,n=us=20er,r=client", noFirst],
  ["a name with a control character", "SCRAM-SHA-256", "n,,n=us\u0007er,r=client", noFirst],
  ["no nonce", "SCRAM-SHA-256", "n,,n=user,r=", noFirst],
  ["a nonce with a blank", "SCRAM-SHA-256", "n,,n=user,r=a b", noFirst],
  ["binding without -PLUS", "SCRAM-SHA-256", plus, "501 5.5.4 SCRAM-SHA-256 has no channel binding"],
  [
    "-PLUS without binding",
    "SCRAM-SHA-256-PLUS",
    "n,,n=user,r=client",
    "501 5.5.4 SCRAM-SHA-256-PLUS needs channel binding",
  ],
  [
    "another binding",
    "SCRAM-SHA-256-PLUS",
    "p=tls-unique,,n=user,r=client",
    "501 5.5.4 The only channel binding known here is tls-exporter",
  ],
])("a first message is refused: %s", async (_, mechanism, message, answer) => {
  expect(await exchange(mechanism, {}, message)).toEqual([answer]);
});

const first = "n,,n=user,r=client";
const noLast = "501 5.5.2 This is no last message of SCRAM";

test.each<[string, (server: string) => string, string]>([
  ["a wrong password", last(first, undefined, "pencils"), 'user for "": wrong password'],
  ["nothing", () => "", noLast],
  ["no proof", () => "c=biws,r=clientNONCE", noLast],
  ["an empty proof", () => "c=biws,r=clientNONCE,p=", noLast],
  ["a short proof", () => "c=biws,r=clientNONCE,p=AAAA", 'user for "": wrong password'],
  ["the client's nonce alone", () => "c=biws,r=client,p=AAAA", 'user for "": nonce of another exchange'],
  ["another header", last("y,,n=user,r=client"), 'user for "": channel binding of another connection'],
  ["something behind the header", last(first, binding), 'user for "": channel binding of another connection'],
])("a last message is refused: %s", async (_, message, answer) => {
  expect((await exchange("SCRAM-SHA-256", {}, first, message)).at(-1)).toBe(answer);
});

test("who is unknown is asked for a proof like everybody else", async () => {
  const unknown = "n,,n=nobody,r=client";
  const [server = "", end] = await exchange("SCRAM-SHA-256", {}, unknown, last(unknown));
  expect(server).toMatch(/^r=clientNONCE,s=[A-Za-z0-9+/]{22}==,i=4096$/);
  expect(end).toBe('nobody for "": unknown user');
});

test("what the server has shown is answered by nothing", async () => {
  const accepted = await exchange("SCRAM-SHA-256", {}, first, last(first), "more");
  expect(accepted.at(-1)).toBe("501 5.5.2 Expected an empty response");
});
