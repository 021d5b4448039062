/** What the clients of the conversations say, for those who change it at random. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseDialogues } from "./dialogue.ts";

/** One Buffer for each conversation of this folder. */
export const spoken: readonly Buffer[] = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith(".smtp"))
  .flatMap((name) => parseDialogues(readFileSync(join(import.meta.dirname, name), "utf8"), name))
  .map(({ steps }) =>
    Buffer.concat(steps.map((step) => (step.kind === "say" ? step.octets : Buffer.alloc(0)))),
  );
