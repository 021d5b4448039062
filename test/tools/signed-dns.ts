/**
 * Real name servers on loopback: knot signs and serves zones, unbound resolves and validates them. Both in a folder
 * of their own.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, start } from "./child.mjs";
import { freePort } from "./port.mjs";
import { until } from "./until.ts";

/** A zone's records, as in a zone file, without SOA and NS. */
export interface Zone {
  readonly name: string;
  readonly records: string;
  /**
   * signed: as it should be. unsigned: nobody expects signatures. bogus: unbound expects signatures, and there are none.
   */
  readonly state: "signed" | "unsigned" | "bogus";
}

export interface SignedDns {
  /** Where unbound answers. */
  readonly resolver: { readonly host: string; readonly port: number };
  stop(): Promise<void>;
}

/** RFC 8624: ECDSA P-256, with a key that is nobody's. */
const nobodysKey =
  "257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==";

export async function signedDns(zones: readonly Zone[]): Promise<SignedDns> {
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-dns-"));
  const [authority, port] = [await freePort(), await freePort()];
  await Promise.all(["run", "keys", "zones"].map((name) => mkdir(join(folder, name))));
  await Promise.all(
    zones.map(({ name, records }) =>
      writeFile(
        join(folder, "zones", `${name}.zone`),
        `$ORIGIN ${name}.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\nns A 127.0.0.1\n${records}\n`,
      ),
    ),
  );
  const knotFile = join(folder, "knot.conf");
  await writeFile(knotFile, knotConfiguration(folder, authority, zones));
  const knot = start("knotd", ["-c", knotFile]);
  const anchors: string[] = [];
  for (const { name, state } of zones) {
    if (state === "unsigned") continue;
    const key = state === "bogus" ? `${name}. DNSKEY ${nobodysKey}` : await dsOf(name, knotFile);
    anchors.push(`trust-anchor: "${key}"`);
  }
  const unboundFile = join(folder, "unbound.conf");
  await writeFile(unboundFile, unboundConfiguration(folder, port, authority, zones, anchors));
  const unbound = start("unbound", ["-d", "-p", "-c", unboundFile]);
  const stop = async (): Promise<void> => {
    await Promise.all([unbound.stop(), knot.stop()]);
    await rm(folder, { recursive: true });
  };
  try {
    for (const { name, state } of zones) {
      const expected = { signed: /flags:[^;]* ad[; ]/, unsigned: /NOERROR/, bogus: /SERVFAIL/ }[state];
      await until(`an answer about ${name}`, async () => {
        const { stdout } = await run("dig", [
          ...["@127.0.0.1", "-p", String(port), "+time=1", "+tries=1", "+dnssec", name, "SOA"],
        ]);
        return expected.test(stdout) && (state === "bogus" || /\bSOA\s+ns\./.test(stdout))
          ? stdout
          : undefined;
      });
    }
  } catch (error) {
    const said = `${knot.output()}${unbound.output()}`;
    await stop();
    throw new Error(said, { cause: error });
  }
  return { resolver: { host: "127.0.0.1", port }, stop };
}

/** The digest of the key that knot made for itself; it makes it when it first loads the zone. */
function dsOf(zone: string, knotFile: string): Promise<string> {
  return until(`a key for ${zone}`, async () => {
    const { stdout } = await run("keymgr", ["-c", knotFile, zone, "ds"]);
    return /^\S+ DS \d+ \d+ 2 [0-9A-Fa-f]+/m.exec(stdout)?.[0];
  });
}

const knotConfiguration = (folder: string, port: number, zones: readonly Zone[]): string => `
server:
    rundir: "${folder}/run"
    listen: 127.0.0.1@${port}
log:
  - target: stdout
    any: info
database:
    storage: "${folder}/keys"
policy:
  - id: plain
    algorithm: ECDSAP256SHA256
    single-type-signing: on
template:
  - id: default
    storage: "${folder}/zones"
    zonefile-sync: -1
    journal-content: none
zone:
${zones
  .map(
    ({ name, state }) =>
      `  - domain: ${name}\n    file: "${name}.zone"\n${state === "signed" ? "    dnssec-signing: on\n    dnssec-policy: plain\n" : ""}`,
  )
  .join("")}`;

const unboundConfiguration = (
  folder: string,
  port: number,
  authority: number,
  zones: readonly Zone[],
  anchors: readonly string[],
): string => `
server:
    interface: 127.0.0.1
    port: ${port}
    directory: "${folder}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    do-not-query-localhost: no
    do-ip6: no
    num-threads: 1
    ${anchors.join("\n    ")}
remote-control:
    control-enable: no
${zones.map(({ name }) => `stub-zone:\n    name: "${name}"\n    stub-addr: 127.0.0.1@${authority}\n`).join("")}`;
