/** The folder in which everything happens, on the disk that is measured, and the end of all that runs in it. */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { bcrypt } from "hash-wasm";
import { generate } from "selfsigned";

/**
 * @typedef {object} Workspace
 * @property {string} folder
 * @property {Credentials} credentials of all servers that are measured
 * @property {(name: string) => Promise<string>} folderFor a new folder in it
 * @property {<T extends Stoppable>(begun: Promise<T>) => Promise<T>} keep has it stopped at the end, unless it was before
 * @property {() => Promise<void>} close ends what runs in it, and removes it
 */

/** @typedef {{ stop: () => Promise<void> }} Stoppable */

/**
 * @typedef {object} Credentials
 * @property {string} certificate path of a certificate for localhost that clients trust as it is
 * @property {string} key path
 * @property {string} password of every login
 * @property {string} hash bcrypt, cost 10
 */

/**
 * Makes it below `parent`, or in the temporary folder. From then on that is where everybody's temporary folders are made.
 * @param {string} [parent]
 * @returns {Promise<Workspace>}
 */
export async function openWorkspace(parent = tmpdir()) {
  const folder = await mkdtemp(join(parent, "tpa-submit-bench-"));
  await chmod(folder, 0o755); // Postfix and Dovecot have users of their own
  process.env["TMPDIR"] = folder;
  /** @type {Set<() => Promise<void>>} */
  const stops = new Set();
  return {
    folder,
    credentials: await makeCredentials(folder),
    async folderFor(name) {
      const made = await mkdtemp(join(folder, `${name}-`));
      await chmod(made, 0o755);
      return made;
    },
    async keep(begun) {
      const kept = await begun;
      const stop = kept.stop;
      kept.stop = async () => {
        stops.delete(kept.stop);
        await stop();
      };
      stops.add(kept.stop);
      return kept;
    },
    async close() {
      // What does not end this way, the sweep ends.
      for (const stop of [...stops].reverse()) {
        await Promise.race([stop().catch(() => undefined), pause(12_000)]);
      }
      for (let round = 0; round < 20 && sweep(folder) > 0; round += 1) await pause(100);
      await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** @param {string} folder */
async function makeCredentials(folder) {
  const at = join(folder, "credentials");
  await mkdir(at);
  const made = await generate([{ name: "commonName", value: "localhost" }], {
    keyType: "ec",
    curve: "P-256",
    notAfterDate: new Date(Date.now() + 2 * 86_400_000),
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      {
        name: "subjectAltName",
        altNames: [
          { type: 2, value: "localhost" },
          { type: 7, ip: "127.0.0.1" },
        ],
      },
    ],
  });
  const [certificate, key] = [join(at, "certificate.pem"), join(at, "key.pem")];
  await writeFile(certificate, made.cert);
  await writeFile(key, made.private, { mode: 0o600 });
  const password = randomBytes(12).toString("hex");
  const hash = await bcrypt({ password, salt: randomBytes(16), costFactor: 10, outputType: "encoded" });
  return { certificate, key, password, hash };
}

/**
 * Kills what works in `folder` or has it on its command line, and tells how many there were: whatever a server that is told
 * to end leaves behind.
 * @param {string} folder
 */
function sweep(folder) {
  let found = 0;
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      const works = readlinkSync(`/proc/${name}/cwd`).startsWith(folder);
      if (!works && !readFileSync(`/proc/${name}/cmdline`, "latin1").includes(folder)) continue;
      process.kill(Number(name), "SIGKILL");
      found += 1;
    } catch {
      // it has ended, or is somebody else's
    }
  }
  return found;
}
