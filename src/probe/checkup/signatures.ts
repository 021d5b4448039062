/** What the signatures of a message that arrived are worth: each by itself, and what DMARC makes of all. Pure. */
import { type ArrivedSignature, type ArrivedSignatures, signatureText } from "../signatures.ts";
import type { CheckResult } from "./judge.ts";

/** A line for each signature, and what DMARC makes of all. */
export function judgeSignatures({ author, signatures }: ArrivedSignatures): readonly CheckResult[] {
  if (signatures.length === 0)
    return [
      [
        "warning",
        "the message has no DKIM signature",
        "tpa-submit dkim new begins; some receivers take no mail without one.",
      ],
    ];
  const counts = signatures.filter(({ result, alignment }) => result === "pass" && alignment !== "none");
  return [
    ...signatures.map(judgeSignature),
    counts.length > 0
      ? ["ok", `DMARC counts the signature of ${counts[0]?.domain ?? ""} for ${author}`]
      : [
          "failed",
          `no signature is valid and aligned with ${author === "" ? "an author" : author}, so DMARC counts none`,
          "The domain in From, or one of the same organisation, must sign, and nobody change the message afterwards.",
        ],
  ];
}

function judgeSignature(signature: ArrivedSignature): CheckResult {
  const { result, alignment, algorithm, bits, domain, selector } = signature;
  const text = signatureText(signature);
  if (result === "temperror") return ["unknown", text];
  if (result !== "pass" && alignment !== "none")
    return [
      "failed",
      text,
      `Compare the record at ${selector}._domainkey.${domain} with the key, and see who changes mail on its way.`,
    ];
  if (result !== "pass") return ["warning", text, "It is somebody else's; receivers may ignore it."];
  if (algorithm === "rsa-sha256" && bits !== undefined && bits < 2048)
    return ["warning", text, "Make a key of 2048 bits: receivers advise it."];
  return ["ok", text];
}
