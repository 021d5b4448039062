/** The site's filters: whether each answers, and what it says of itself. */
import { writeMilterAddress } from "../../config/setting-types.ts";
import { withMilter } from "../../server/submission/milter/client.ts";
import { negotiate } from "../../server/submission/milter/conversation.ts";
import { MilterTrouble } from "../../server/submission/milter/frames.ts";
import { type MilterAction, milterActions } from "../../server/submission/milter/terms.ts";
import type { Look } from "./context.ts";
import { fail, fine, type Judgement, warn } from "./rows.ts";

/** Milliseconds. A filter is asked nothing but who it is. */
const patience = { timeout: 5000, deadline: 5000 };

export const milters: Look = ({ config: { milter } }) => Promise.all(milter.map(lookAtMilter));

type MilterSettings = Parameters<Look>[0]["config"]["milter"][number];

/** What says nothing about messages. */
const unsaid: readonly MilterAction[] = ["choose macros", "add recipients with parameters"];

async function lookAtMilter({ name, address, "when-away": away }: MilterSettings): Promise<Judgement> {
  const at = writeMilterAddress(address);
  try {
    const terms = await withMilter(address, patience, negotiate);
    const actions = (Object.keys(milterActions) as MilterAction[]).filter(
      (action) => !unsaid.includes(action) && terms.may(action),
    );
    const words = actions.length === 0 ? "only judges" : `may ${actions.join(", ")}`;
    return fine(name, `${at} answers, protocol ${terms.version}, ${words}`);
  } catch (error) {
    if (!(error instanceof MilterTrouble)) throw error;
    const words = `${at}: ${error.message}; when-away is "${away}"`;
    return away === "accept" ? warn(name, words) : fail(name, words);
  }
}
