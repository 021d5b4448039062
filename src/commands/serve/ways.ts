/** What `--check` says of how mail leaves: a line for each way, and a warning where a relay's name leads nowhere. */
import { lookup } from "node:dns/promises";
import type { RouteSettings } from "../../config/route-settings.ts";
import { writeAddress } from "../../config/setting-types.ts";
import type { Config } from "../../config/settings.ts";
import { errorCode } from "../../failure.ts";
import { tlsOf } from "./carrier.ts";

/** The lines, in the order in which ways are chosen. The DNS is asked for the relays' names, and nothing else is. */
export async function describeWays({ delivery, route }: Config): Promise<string> {
  const routes = route.map((way, index) => {
    const to = way.to.length > 0 ? ` for ${way.to.join(", ")}` : "";
    const from = way.from.length > 0 ? ` from ${way.from.join(", ")}` : "";
    return describe(`[[route]] number ${index + 1}:${to}${from} goes`, way);
  });
  const rest = route.length > 0 ? "all else" : "mail";
  return (await Promise.all([...routes, describe(`[delivery]: ${rest} goes`, delivery)])).flat().join("\n");
}

async function describe(what: string, way: RouteSettings): Promise<readonly string[]> {
  const relays = way.relay.map((relay) => written(relay, way)).join(", else ");
  const login = way["relay-user"] === "" ? "" : `, logged in as ${way["relay-user"]}`;
  const lost = await Promise.all(way.relay.map(missing));
  return [`${what} ${relays}${login}`, ...lost.flat()];
}

function written(relay: RouteSettings["relay"][number], way: RouteSettings): string {
  if (relay.kind === "file") return `to the folder ${relay.directory}`;
  const tls = `(TLS ${relay.kind === "smtps" && way.tls === "auto" ? "verified" : tlsOf(way)})`;
  if (relay.kind === "mx") return `to the MX of each domain ${tls}`;
  return `to ${relay.kind}://${writeAddress(relay)} ${tls}`;
}

/** A warning and no more: the DNS may be down for a moment. */
async function missing(relay: RouteSettings["relay"][number]): Promise<readonly string[]> {
  if (!("host" in relay)) return [];
  try {
    await lookup(relay.host);
    return [];
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return [`${relay.host}: warning: it has no address (${errorCode(error)}), mail for it would wait here`];
  }
}
