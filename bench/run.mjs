/** All figures, one after the other: `npm run bench`. What they mean, and what they were: README.md. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

for (const name of ["spool", "submission", "queue", "idle"]) {
  console.log(`\n## ${name}\n`);
  const script = fileURLToPath(new URL(`${name}.mjs`, import.meta.url));
  const { status } = spawnSync(process.execPath, [script], { stdio: "inherit" });
  if (status !== 0) process.exitCode = 1;
}
