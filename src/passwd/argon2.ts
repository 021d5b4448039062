/** Argon2 (RFC 9106) in the string form of its reference program, computed by hash-wasm. */
import { randomBytes } from "node:crypto";
import { outside, type Rounds, type Scheme, sameDigest, type Unusable } from "./scheme.ts";

/** Kibibytes; a worker that checks keeps them. libsodium's "moderate" level, which doveadm -r 3 takes, is the limit. */
const mostMemory = 262_144;

/** Kibibytes times passes: about two seconds of one core. */
const mostWork = 1_048_576;

const mostLanes = 4;

interface Parameters {
  readonly memory: number;
  readonly passes: number;
  readonly lanes: number;
  readonly salt: Buffer;
  readonly tag: Uint8Array;
}

/** What the row of one variant needs to know: libsodium's memory for it, in kibibytes, and its passes. */
export interface Variant {
  readonly name: "ARGON2I" | "ARGON2ID";
  readonly memory: number;
  readonly rounds: Rounds;
}

export function argon2Scheme(variant: Variant): Scheme {
  const id = variant.name.toLowerCase() as "argon2i" | "argon2id";
  return {
    name: variant.name,
    weakness: "",
    form: "text",
    rounds: variant.rounds,
    bare: `$${id}$`,
    inspect: (value) => {
      const found = parse(value.toString("latin1"), id);
      if (!found) return { problem: `damaged ${id} string` };
      const { memory, passes } = found;
      // OWASP's least: 19 MiB and two passes.
      const weakness = memory * passes < 2 * 19_456 ? "so little memory and time is quickly guessed" : "";
      const verify = async (password: string): Promise<boolean> =>
        sameDigest(found.tag, await compute(id, password, found));
      return (
        tooExpensive(found) ?? {
          algorithm: variant.name,
          cost: `${memory} KiB, ${passes} passes`,
          weakness,
          verify: ({ password }) => verify(password),
        }
      );
    },
    generate: async ({ password }, passes) => {
      const setting = {
        memory: variant.memory,
        passes,
        lanes: 1,
        salt: randomBytes(16),
        tag: Buffer.alloc(32),
      };
      return write(id, { ...setting, tag: await compute(id, password, setting) });
    },
  };
}

function tooExpensive({ memory, passes, lanes }: Parameters): Unusable | undefined {
  return (
    outside({ least: 1, most: mostLanes }, lanes, "lanes:") ??
    outside({ least: 8 * lanes, most: mostMemory }, memory, "memory in KiB:") ??
    outside({ least: 1, most: Math.floor(mostWork / memory) }, passes, `passes over ${memory} KiB:`)
  );
}

function parse(text: string, id: string): Parameters | undefined {
  const found =
    /^\$(argon2id?)\$v=19\$m=(\d{1,7}),t=(\d{1,5}),p=(\d{1,3})\$([0-9A-Za-z+/]+)\$([0-9A-Za-z+/]+)$/.exec(
      text,
    );
  if (found?.[1] !== id) return undefined;
  const salt = unpadded(found[5] ?? "");
  const tag = unpadded(found[6] ?? "");
  if (!salt || !tag || salt.length < 8 || salt.length > 64 || tag.length < 16 || tag.length > 64)
    return undefined;
  return { memory: Number(found[2]), passes: Number(found[3]), lanes: Number(found[4]), salt, tag };
}

function write(id: string, { memory, passes, lanes, salt, tag }: Parameters): Buffer {
  const text = [salt, tag].map((octets) => Buffer.from(octets).toString("base64").replaceAll("=", ""));
  return Buffer.from(`$${id}$v=19$m=${memory},t=${passes},p=${lanes}$${text.join("$")}`);
}

function unpadded(text: string): Buffer | undefined {
  const octets = Buffer.from(text, "base64");
  return octets.toString("base64").replaceAll("=", "") === text ? octets : undefined;
}

async function compute(
  id: "argon2i" | "argon2id",
  password: string,
  parameters: Parameters,
): Promise<Uint8Array> {
  const wasm = await import("hash-wasm");
  const secret = Buffer.from(password);
  return wasm[id]({
    // hash-wasm takes an empty password for a forgotten one; RFC 9106 section 3.1 allows it. The library looks at the
    // password, then at the salt, then hashes what stands in `password` by now.
    password: secret.length === 0 ? Buffer.alloc(1) : secret,
    get salt() {
      this.password = secret;
      return parameters.salt;
    },
    set salt(_) {},
    iterations: parameters.passes,
    memorySize: parameters.memory,
    parallelism: parameters.lanes,
    hashLength: parameters.tag.length,
    outputType: "binary",
  });
}
