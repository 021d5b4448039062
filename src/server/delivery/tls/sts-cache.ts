/**
 * Policies of MTA-STS on disk, one small file for each domain, so that a start does not forget what a domain once
 * promised: RFC 8461 protects only those who remember.
 */
import { mkdir, readdir, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "../../../durable.ts";
import { errorCode, errorText } from "../../../failure.ts";
import { readPolicy, type StsPolicy } from "./sts-policy.ts";

export interface KeptPolicy {
  /** In A-labels. */
  readonly domain: string;
  /** Of the TXT record that told of it. */
  readonly id: string;
  /** Times in milliseconds since the epoch: when it was fetched last, and when mail went by it last. */
  readonly fetched: number;
  readonly used: number;
  readonly policy: StsPolicy;
}

/** What is there and cannot be read. */
export interface Unreadable {
  readonly domain: string;
  readonly trouble: string;
}

/** Each function rejects with the system's error. */
export interface StsCache {
  all(): Promise<readonly (KeptPolicy | Unreadable)[]>;
  keep(kept: KeptPolicy, text: string): Promise<void>;
  drop(domain: string): Promise<void>;
}

/** Policies in the folder `directory`, which is made when the first is kept. */
export function stsCache(directory: string): StsCache {
  async function read(domain: string): Promise<KeptPolicy | Unreadable> {
    try {
      const kept = keptIn(await readFile(join(directory, domain), "utf8"));
      return kept?.domain === domain ? kept : { domain, trouble: "it is damaged" };
    } catch (error) {
      return { domain, trouble: errorText(error) };
    }
  }

  return {
    async all() {
      const names = await readdir(directory).catch(unlessMissing([]));
      return Promise.all(names.filter(isDomain).map(read));
    },
    async keep({ domain, id, fetched, used }, text) {
      await mkdir(directory, { mode: 0o700, recursive: true });
      const fields = { domain, id, fetched, used, text };
      await replaceFile(join(directory, domain), `${JSON.stringify(fields)}\n`, { mode: 0o600 });
    },
    async drop(domain) {
      await unlink(join(directory, domain)).catch(unlessMissing(undefined));
    },
  };
}

/** Drafts begin with a dot (durable.ts). */
const isDomain = (name: string): boolean => !name.startsWith(".");

function keptIn(text: string): KeptPolicy | undefined {
  try {
    const { domain, id, fetched, used, text: policy } = JSON.parse(text) as Record<string, unknown>;
    if (typeof domain !== "string" || typeof id !== "string" || typeof policy !== "string") return undefined;
    if (typeof fetched !== "number" || typeof used !== "number") return undefined;
    const read = readPolicy(policy);
    return "wrong" in read ? undefined : { domain, id, fetched, used, policy: read };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const unlessMissing =
  <Value>(value: Value) =>
  (error: unknown): Value => {
    if (errorCode(error) === "ENOENT") return value;
    throw error;
  };
