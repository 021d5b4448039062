/** What `tpa-submit settings` prints of a running relay, with only one of its doors open each time. */
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { program, type Relay } from "../../demo/relay.mjs";
import { type Ended, run } from "../tools/child.mjs";

export const doors = ["submissions", "submission"] as const;
export type Door = (typeof doors)[number];

export interface PrintedSettings {
  /** With a "pass" that prints the password, and a home of its own. */
  readonly environment: Readonly<Record<string, string>>;
  /** As it is, with its exit status. */
  run(door: Door, ...words: readonly string[]): Promise<Ended>;
  /** For the login, at localhost; nothing may go wrong. */
  printed(door: Door, ...words: readonly string[]): Promise<string>;
  /** Where --format has been written to. */
  fileOf(door: Door, format: string): Promise<string>;
  client(door: Door, id: string): Promise<PrintedClient>;
}

export interface PrintedClient {
  readonly steps: readonly string[];
  readonly files: readonly { readonly name: string; readonly text: string }[];
  readonly errors: readonly { readonly says: string }[];
}

/** For `login`, of example.org or, where it stands behind it, of example.net. */
export async function printedSettings(relay: Relay, login = "user1"): Promise<PrintedSettings> {
  await mkdir(join(relay.folder, "bin"), { recursive: true });
  await writeFile(join(relay.folder, "bin/pass"), `#!/bin/sh\nexec cat ${relay.folder}/password\n`);
  await chmod(join(relay.folder, "bin/pass"), 0o755);
  for (const door of doors) {
    const other = door === "submission" ? "submissions" : "submission";
    await writeFile(
      join(relay.folder, `${door}.toml`),
      `hostname = "relay.example.org"\ndomain = "example.org"
[listen]\n${door} = ["127.0.0.1:${relay[door]}"]\n${other} = []
[tls]\ncertificate = "${relay.certificate}"\nkey = "${relay.folder}/key.pem"
[[domains]]\nname = "example.net"\npassword-file = "${relay.folder}/mail-passwords"\n`,
    );
  }
  const settings: PrintedSettings = {
    environment: {
      PATH: `${relay.folder}/bin:${process.env["PATH"] ?? ""}:/usr/sbin`,
      HOME: relay.folder,
    },
    run: (door, ...words) =>
      run(process.execPath, [program, "settings", "-c", join(relay.folder, `${door}.toml`), ...words]),
    async printed(door, ...words) {
      const asked = ["--server", "localhost", "--login", login, ...words];
      const { status, stdout, stderr } = await settings.run(door, ...asked);
      expect([status, stderr]).toEqual([0, ""]);
      return stdout;
    },
    async fileOf(door, format) {
      const path = join(relay.folder, `${door}.${format}`);
      await writeFile(path, await settings.printed(door, "--format", format), { mode: 0o600 });
      return path;
    },
    async client(door, id) {
      const { client } = JSON.parse(await settings.printed(door, "--json", id)) as { client: PrintedClient };
      return client;
    },
  };
  return settings;
}
