/** CRAM-MD5 (RFC 2195): the client signs a word of ours with its password. The keys are passwd/proofs.ts. */
import { credentials, type Ground, type Opening, refused } from "./exchange.ts";

/** The word, which is to be another one each time, and what takes the response to it. */
export function cramMd5({ hostname, nonce }: Ground): Opening {
  const challenge = `<${nonce()}@${hostname}>`;
  return {
    first: challenge,
    step(response) {
      const [, login = "", digest = ""] = /^([^\0]+) ([0-9a-f]{32})$/i.exec(response) ?? [];
      if (login === "")
        return refused(501, "5.5.2", "Expected a user name, a blank and 32 hexadecimal digits");
      return {
        kind: "question",
        mechanism: "CRAM-MD5",
        login,
        async ask(proofs) {
          const side = await proofs.cram(login);
          const verdict = "kind" in side ? side : side.check(challenge, Buffer.from(digest, "hex"));
          return credentials({ mechanism: "CRAM-MD5", login, authzid: "", password: response, verdict });
        },
      };
    },
  };
}
