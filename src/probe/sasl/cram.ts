/** CRAM-MD5 (RFC 2195), and the same with SHA-1 that some servers have. */

import { createHmac } from "node:crypto";
import type { Mechanism } from "../plan.ts";

const cram = (name: string, digest: "md5" | "sha1"): Mechanism => ({
  name,
  begin({ user, password }) {
    let isAnswered = false;
    return {
      answer(challenge) {
        if (isAnswered) return undefined;
        isAnswered = true;
        return Buffer.from(`${user} ${createHmac(digest, password).update(challenge).digest("hex")}`);
      },
    };
  },
});

export const cramMd5 = cram("CRAM-MD5", "md5");
export const cramSha1 = cram("CRAM-SHA1", "sha1");
