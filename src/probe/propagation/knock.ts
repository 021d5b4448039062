/** One attempt to log in at a submission server: TLS that is verified, AUTH PLAIN, QUIT, and no mail. */
import { type Door, loginBy, runErrand } from "../transaction/errand.ts";
import type { World } from "../transaction/session.ts";
import type { Answer } from "./course.ts";

/** Says the password once. Only 535 is "out": another reply, such as "too many wrong passwords", tells nothing of it. */
export async function knock(door: Door, user: string, password: string, world: World): Promise<Answer> {
  // One mechanism: a wrong password is not to be said again in another way.
  const auth = loginBy(["PLAIN"], user, password);
  const { recorded } = await runErrand(
    door,
    { protocol: { from: "", to: [], quitAfter: "AUTH" }, auth },
    world,
  );
  const { steps, errors } = recorded;
  const said = steps.findLast(({ at, reply }) => at === "AUTH" && reply.length > 0)?.reply.at(-1) ?? "";
  if (said.startsWith("235")) return { kind: "in" };
  if (said.startsWith("535")) return { kind: "out" };
  const last = steps.findLast(({ at, expected }) => at !== "QUIT" && !expected);
  const reason = said || last?.reply.at(-1) || errors.at(-1) || "the connection broke";
  return { kind: "unknown", reason: `${door.host}: ${reason.replace(/\s+/g, " ").slice(0, 200)}` };
}
