/** XCLIENT: telling a server that trusts us who the client is (Postfix' XCLIENT_README). */
import { type Ending, quit } from "./ending.ts";
import type { Session } from "./session.ts";

/** XCLIENT, where the plan has it. A server that takes it begins a new session, which wants a new EHLO. */
export async function sendXclient(session: Session): Promise<Ending | undefined> {
  const { talk, transcript, offers } = session;
  const { xclient } = session.plan;
  if (xclient === undefined) return undefined;
  const offered = offers.get("XCLIENT");
  if (offered === undefined) {
    transcript.error("Host did not advertise XCLIENT");
    return xclient.need === "required" ? quit("xclient") : undefined;
  }
  const known = offered.map((name) => name.toUpperCase());
  const missing = xclient.attributes.filter((name) => !known.includes(name)).sort();
  if (missing.length > 0) {
    transcript.error(`Host did not advertise requested XCLIENT attributes (${missing.join(", ")})`);
    return xclient.need === "required" ? quit("xclient") : undefined;
  }
  for (const attributes of xclient.commands) {
    const answer = await talk.ask("XCLIENT", `XCLIENT ${attributes}`, "220");
    if (answer.ok) continue;
    if (answer.ending !== undefined) return answer.ending;
    transcript.error("XCLIENT attempted but failed");
    return xclient.need === "optional" ? undefined : quit("xclient");
  }
  session.isHelloDue = true;
  return undefined;
}
