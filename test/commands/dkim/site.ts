/** A relay that signs, a name server that knows what is published, and a receiver that looks at what comes. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { program, type Relay, startRelay } from "../../../demo/relay.mjs";
import { capturingHop, type Hop } from "../../interop/hops.ts";
import { type Ended, run } from "../../tools/child.mjs";
import { type NameServer, nameServer, type Records } from "../../tools/dns.ts";

export interface Site {
  readonly relay: Relay;
  readonly hop: Hop;
  /** What the DNS has; may be changed. */
  readonly zone: Map<string, Records>;
  readonly names: NameServer;
  /** Where the keys of example.org are. */
  readonly folder: string;
  dkim(...words: readonly string[]): Promise<Ended>;
  /** What the relay was started with. */
  readonly settings: string;
  /** Puts what `dkim publish` prints into the DNS, of `domain` or the site's own; gives the selectors. */
  publish(domain?: string): Promise<readonly string[]>;
  /** The names of the files of keys. */
  files(): Promise<readonly string[]>;
}

/** All of it is gone when the test is. */
export async function signingSite(): Promise<Site> {
  const zone = new Map<string, Records>();
  const names = await nameServer(zone);
  const hop = await capturingHop();
  const settings = `[delivery]\n${hop.delivery}\nnameservers = ["${names.address}"]\nretry-first = "1s"`;
  const relay = await startRelay(settings);
  onTestFinished(async () => {
    await relay.stop();
    await hop.stop();
    await names.close();
  });
  const folder = join(relay.folder, "dkim", "example.org");
  const dkim = (command: string, ...words: readonly string[]): Promise<Ended> =>
    run(process.execPath, [program, "dkim", command, "--config", relay.config, ...words]);
  return {
    relay,
    hop,
    zone,
    names,
    folder,
    settings,
    dkim: (command = "list", ...words) => dkim(command, ...words),
    async publish(domain = "example.org") {
      const { stdout } = await dkim("publish", "--json", domain);
      const records = stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { name: string; text: string; selector: string });
      for (const { name, text } of records) zone.set(name, { txt: [text] });
      return records.map(({ selector }) => selector);
    },
    files: async () => (await readdir(folder)).filter((name) => !name.startsWith(".")).toSorted(),
  };
}
