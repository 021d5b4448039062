/** What `dkim publish` prints is a zone file to knot, and what unbound then says is enough for `dkim rotate`. */
import { expect, onTestFinished, test, vi } from "vitest";
import { prepareRelay, program } from "../../demo/relay.mjs";
import { type Ended, run } from "../tools/child.mjs";
import { real } from "../tools/real.ts";
import { signedDns } from "../tools/signed-dns.ts";

vi.setConfig({ testTimeout: 120_000 });

test.skipIf(!real("knotd", "keymgr", "unbound", "dig"))(
  "real name servers read the records and have them",
  async () => {
    const relay = await prepareRelay('[dkim]\nfolder = "FOLDER/dkim"');
    onTestFinished(() => relay.stop());
    const dkim = (...words: readonly string[]): Promise<Ended> =>
      run(process.execPath, [program, "dkim", ...words, "--config", relay.config]);
    expect((await dkim("new")).stderr).toBe("");
    const { stdout: records } = await dkim("publish");
    const names = await signedDns([{ name: "example.org", records, state: "signed" }]);
    onTestFinished(() => names.stop());
    const { host, port } = names.resolver;
    for (const setting of [`nameservers = ["${host}:${port}"]`, `dnssec-resolver = "${host}:${port}"`]) {
      await relay.configure(`[dkim]\nfolder = "FOLDER/dkim"\n[delivery]\n${setting}`);
      const { stdout } = await dkim("list");
      expect(stdout).toMatch(/-rsa +rsa 2048 +new +\d+\w +published\n/);
      expect(stdout).toMatch(/-ed25519 +ed25519 +new +\d+\w +published\n/);
    }
    const rotated = await dkim("rotate");
    expect([rotated.status, rotated.stderr]).toEqual([0, ""]);
    expect(rotated.stdout).toMatch(/^example\.org: \d+-rsa and \d+-ed25519 sign when the relay starts\n$/);
  },
);
