import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { newSaslLogins, type ScramLogin } from "../../src/passwd/sasl-logins.ts";
import type { ScramDigest } from "../../src/passwd/scheme.ts";
import { loginsOf } from "../tools/logins.ts";

// "pencil" with the salts of RFC 5802 section 5 and RFC 7677 section 3, keyed by Python's hashlib.
const sha1 = "{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=";
const sha256 =
  "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
const otherSha256 =
  "{SCRAM-SHA-256}5000,c2FsdCBvZiBzaXh0ZWVuIQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
const bcrypt = "$2y$05$6gKfOJhm6Wm1ExJVUEvtouXhYGvqiq./2VSg0EiS9BSa08rPMrDvG";
// The secret of RFC 2195 section 2, as `doveadm pw -s CRAM-MD5` keeps it.
const cramMd5 = "{CRAM-MD5}d06d4e1b26fccaa4b0b61801132340a354b21152711fb604ca3e035e7015116b";

function indexed(...lines: readonly string[]) {
  return loginsOf(lines.join("\n"));
}

function proofsOf(lines: readonly string[], secret = "secret of the host") {
  const logins = indexed(...lines);
  return newSaslLogins(async () => logins, "example.org", Buffer.from(secret));
}

/** What a client that knows `password` sends (RFC 5802 section 3), and the signature that it expects. */
function clientOf(digest: ScramDigest, password: string, { salt, rounds }: ScramLogin, message: string) {
  const salted = pbkdf2Sync(password, salt, rounds, digest === "sha1" ? 20 : 32, digest);
  const hmac = (key: Buffer, text: string): Buffer => createHmac(digest, key).update(text).digest();
  const key = hmac(salted, "Client Key");
  const signature = hmac(createHash(digest).update(key).digest(), message);
  return {
    proof: Buffer.from(key.map((octet, at) => octet ^ (signature[at] ?? 0))),
    expected: hmac(hmac(salted, "Server Key"), message),
  };
}

async function tryScram(lines: readonly string[], name: string, digest: ScramDigest, password: string) {
  const side = await proofsOf(lines).scram(name, digest);
  if ("kind" in side) throw new Error(side.reason);
  const { proof, expected } = clientOf(digest, password, side, "what both have said");
  const { result: verdict, signature } = await side.check("what both have said", proof);
  return { ...verdict, isServerProven: signature.equals(expected) };
}

const stored: string = expect.stringMatching(/^[\w-]{22}$/);
const accepted = { kind: "accepted", login: "user1", stored, isServerProven: true };

describe("SCRAM", () => {
  test.each<[string, readonly string[], ScramDigest]>([
    ["keys for SHA-1", [`user1:${sha1}`], "sha1"],
    ["keys for SHA-256", [`user1:${sha256}`], "sha256"],
    ["cleartext, SHA-1", ["user1:{PLAIN}pencil"], "sha1"],
    ["cleartext, SHA-256", ["user1:{CLEARTEXT}pencil"], "sha256"],
    ["cleartext in an older line", ["user1:{PLAIN}pencil", "user1:{PLAIN}pen"], "sha256"],
    ["cleartext in a newer line", ["user1:{PLAIN}pen", "user1:{PLAIN}pencil"], "sha256"],
    ["keys beside bcrypt", [`user1:${bcrypt}`, `user1:${sha256}`, `user1:${bcrypt}`], "sha256"],
    ["keys in the last line with some", [`user1:${otherSha256}`, `user1:${sha256}`], "sha256"],
  ])("lets in whoever knows the password: %s", async (_, lines, digest) => {
    expect(await tryScram(lines, "User1@Example.org", digest, "pencil")).toEqual(accepted);
    const wrong = { kind: "rejected", reason: "wrong password", isServerProven: false };
    expect(await tryScram(lines, "user1", digest, "pencils")).toEqual(wrong);
  });

  test.each<[string, readonly string[], string, string]>([
    ["unknown", [`user1:${sha256}`], "user2", "unknown user"],
    ["of another domain", [`user1:${sha256}`], "user1@example.net", "unknown user"],
    ["locked", [`user1:${sha256}`, "user2:!"], "user2", "locked"],
    [
      "without keys",
      [`user1:${sha256}`, `user2:${bcrypt}`],
      "user2",
      "the stored password does not allow SCRAM-SHA-256",
    ],
    ["unknown beside cleartext", ["user1:{PLAIN}pencil"], "user2", "unknown user"],
  ])("lets nobody in who is %s", async (_, lines, name, reason) => {
    for (const password of ["pencil", ""]) {
      const verdict = await tryScram(lines, name, "sha256", password);
      expect(verdict).toMatchObject({ kind: "rejected", reason, isServerProven: false });
    }
  });

  test("tells those who are unknown a salt that looks like the others' and never changes", async () => {
    const sideOf = async (name: string, secret: string, ...lines: readonly string[]) => {
      const side = await proofsOf(lines, secret).scram(name, "sha256");
      if ("kind" in side) throw new Error(side.reason);
      return { salt: side.salt.toString("hex"), rounds: side.rounds };
    };
    const first = await sideOf("nobody", "secret", `user1:${otherSha256}`, `user2:${bcrypt}`);
    expect(first).toMatchObject({ rounds: 5000, salt: expect.stringMatching(/^[0-9a-f]{32}$/) });
    const spellings = ["nobody", "Nobody", "nobody@example.org"];
    for (const name of spellings) expect(await sideOf(name, "secret", `user1:${otherSha256}`)).toEqual(first);
    expect(await sideOf("somebody", "secret", `user1:${otherSha256}`)).not.toEqual(first);
    expect(await sideOf("nobody", "another", `user1:${otherSha256}`)).not.toEqual(first);
    // Whoever comes to be gets the same one, too, where the keys are made of cleartext.
    const none = await sideOf("user2", "secret", "user1:{PLAIN}pencil");
    expect(await sideOf("user2", "secret", "user1:{PLAIN}pencil", "user2:{PLAIN}pen")).toEqual(none);
  });

  test("a proof of another length is wrong", async () => {
    const side = await proofsOf([`user1:${sha256}`]).scram("user1", "sha256");
    if ("kind" in side) throw new Error(side.reason);
    for (const length of [0, 20, 31, 33]) {
      expect((await side.check("message", Buffer.alloc(length))).result.kind).toBe("rejected");
    }
  });
});

describe("CRAM-MD5", () => {
  const challenge = "<1896.697170952@postoffice.reston.mci.net>";
  // RFC 2195 section 2: the user is tim, the shared secret tanstaaftanstaaf.
  const digest = Buffer.from("b913a602c7eda7a495b4e6e7334d3890", "hex");

  async function tried(lines: readonly string[], name: string, said = digest) {
    const side = await proofsOf(lines).cram(name);
    return "kind" in side ? side : side.check(challenge, said);
  }

  test.each([
    ["cleartext", ["tim:{PLAIN}tanstaaftanstaaf"]],
    ["keys", [`tim:${cramMd5}`]],
    ["keys in an older line", [`tim:${cramMd5}`, "tim:{PLAIN}another"]],
    ["keys in a newer line", ["tim:{PLAIN}another", `tim:${cramMd5}`]],
  ])("lets in whoever knows the secret, as RFC 2195 shows: %s", async (_, lines) => {
    expect(await tried(lines, "tim")).toEqual({ kind: "accepted", login: "tim", stored });
    expect(await tried(lines, "tim", Buffer.alloc(16))).toEqual({
      kind: "rejected",
      reason: "wrong password",
    });
  });

  test.each([
    ["a secret longer than MD5's block", "x".repeat(65)],
    ["a secret of one block", "x".repeat(64)],
    ["a secret beyond ASCII", "Grüße"],
  ])("keys the digest as RFC 2104 has it: %s", async (_, secret) => {
    const signed = createHmac("md5", secret).update(challenge).digest();
    expect(await tried([`tim:{PLAIN}${secret}`], "tim", signed)).toMatchObject({ kind: "accepted" });
  });

  test("lets in nobody who is unknown or has no keys", async () => {
    expect(await tried(["tim:{PLAIN}x"], "tom")).toEqual({ kind: "rejected", reason: "unknown user" });
    const none = {
      kind: "rejected",
      reason: "the stored password does not allow CRAM-MD5",
      cannotSucceed: true,
    };
    expect(await tried([`tim:${bcrypt}`], "tim")).toEqual(none);
  });
});

test("whom a certificate names is let in unless the login is shut or unknown", async () => {
  const proofs = proofsOf([`user1:${bcrypt}`, "user2:!"]);
  expect(await proofs.external("USER1@example.org")).toEqual({ kind: "accepted", login: "user1" });
  expect(await proofs.external("user2")).toEqual({ kind: "rejected", reason: "locked" });
  expect(await proofs.external("user1@example.net")).toEqual({ kind: "rejected", reason: "unknown user" });
});

test("while no password file was ever read, all is unavailable", async () => {
  const proofs = newSaslLogins(async () => undefined, "example.org", Buffer.from("s"));
  const unavailable = { kind: "unavailable", reason: "no password file could be read yet" };
  expect(await proofs.cram("user1")).toEqual(unavailable);
  expect(await proofs.scram("user1", "sha1")).toEqual(unavailable);
  expect(await proofs.external("user1")).toEqual(unavailable);
});

test.each<[string, readonly string[]]>([
  [bcrypt, []],
  [sha1, ["SCRAM-SHA-1"]],
  [sha256, ["SCRAM-SHA-256"]],
  [cramMd5, ["CRAM-MD5"]],
  ["{PLAIN}pencil", ["CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"]],
  ["{PLAIN-TRUNC}7-pencil", []],
])("%s makes the mechanisms possible that it holds keys for", (stored, challenges) => {
  expect(indexed(`user1:${bcrypt}`, `user2:${stored}`).challenges).toEqual(challenges);
});
