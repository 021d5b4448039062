/** What others on the host see of a monitor that runs: its command line, in which no password stands. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { program, startRelay } from "../../../demo/relay.mjs";

/** The command lines of all processes, as ps shows them. */
async function commandLines(): Promise<string> {
  const processes = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    processes.map((name) => readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "")), // it may be gone already
  );
  return lines.join("\n").replaceAll("\0", " ");
}

test("no process shows a password while the monitor runs", async () => {
  const relay = await startRelay();
  try {
    const put = (name: string, text: string) => writeFile(join(relay.folder, name), text, { mode: 0o600 });
    for (const part of ["new", "cur"]) await mkdir(join(relay.folder, "mail", part), { recursive: true });
    await put("password", `${relay.password}\n`);
    await put(
      "probes.toml",
      `directory = "${relay.folder}/probe"\nkey = "${relay.folder}/probe/key"\n[submission]\nserver = "smtp://127.0.0.1:${relay.submission}"\nlogin = "${relay.login}"\npassword-file = "${relay.folder}/password"\nfrom = "user1@example.org"\nca = "${relay.certificate}"\n[[route]]\nname = "net"\nto = "x@example.net"\narrive = "maildir:${relay.folder}/mail"\n`,
    );
    const child = spawn(program, [
      "probe",
      "monitor",
      "--wait",
      "2s",
      "--nagios",
      join(relay.folder, "probes.toml"),
    ]);
    const seen: string[] = [];
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    const ended = once(child, "close");
    let isOver = false;
    void ended.then(() => {
      isOver = true;
    });
    while (!isOver) {
      seen.push(await commandLines());
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(said).toMatch(/^PROBE OK - on its way for \d/);
    expect(seen.some((lines) => lines.includes("probe monitor --wait 2s"))).toBe(true);
    expect(seen.join("\n")).not.toContain(relay.password);
  } finally {
    await relay.stop();
  }
});
