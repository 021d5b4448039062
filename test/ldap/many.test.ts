import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { program } from "../../demo/program.mjs";
import { real } from "../tools/real.ts";
import { hashes } from "./cases.ts";
import { people, person, reader, slapdPrograms, startSlapd } from "./slapd.ts";

/** `npm run bench -- directory` asks for 50 000. */
const count = Number(process.env["TPA_SUBMIT_ENTRIES"] ?? 5000);

/** Makes the program tell at its end how much it took: processor time in seconds, memory at its height in MiB. */
const told = `data:text/javascript,process.on("exit",()=>{const u=process.resourceUsage();
process.stderr.write("took "+(u.userCPUTime+u.systemCPUTime)/1e6+" "+u.maxRSS/1024+"\\n")})`;

interface Run {
  /** By the clock on the wall, which runs for everything else on this machine, too; and of the processor. */
  readonly wall: number;
  readonly processor: number;
  readonly megabytes: number;
  readonly stderr: string;
}

function sync(config: string): Promise<Run> {
  const began = performance.now();
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ["--import", told, program, "sync", "--config", config],
      (_error, _stdout, stderr) => {
        const [, processor, megabytes] = /^took (\S+) (\S+)$/m.exec(stderr) ?? [];
        const wall = (performance.now() - began) / 1000;
        resolve({ wall, processor: Number(processor), megabytes: Number(megabytes), stderr });
      },
    );
  });
}

test.skipIf(!real(...slapdPrograms))(
  `${count} entries are brought within 5 s of processor and 400 MB`,
  { timeout: 600_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "many-"));
    const entries = Array.from({ length: count }, (_, index) =>
      person(
        `user${index}`,
        `mailPassword: ${hashes["blf"]}\naccountStatus: active\nsupplementaryGid: users`,
      ),
    );
    const slapd = await startSlapd({ entries: entries.join("") });
    try {
      const config = join(folder, "tpa-submit.toml");
      await writeFile(join(folder, "password"), reader.password);
      await writeFile(
        config,
        `hostname = "mail.example.org"
domain = "example.org"
[passwords]
file = "${folder}/mail-passwords"
[ldap]
url = "${slapd.ldaps}"
ca = "${slapd.ca}"
base = "${people}"
bind-dn = "${reader.dn}"
bind-password-file = "${folder}/password"
`,
      );
      const first = await sync(config);
      expect(first.stderr).toContain(`replaced: ${count} logins`);
      expect((await readFile(join(folder, "mail-passwords"), "utf8")).split("\n")).toHaveLength(count + 1);
      const second = await sync(config);
      expect(second.stderr).toContain(`is up to date: ${count} logins`);
      for (const [name, { wall, processor, megabytes }] of Object.entries({ first, second })) {
        process.stdout.write(
          `${count} entries, ${name}: ${wall.toFixed(1)} s, ${processor.toFixed(1)} s of processor, ${megabytes.toFixed(0)} MB\n`,
        );
        expect(processor).toBeLessThan(5);
        expect(megabytes).toBeLessThan(400);
      }
    } finally {
      await slapd.remove();
      await rm(folder, { recursive: true });
    }
  },
);
