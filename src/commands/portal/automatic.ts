/**
 * What mail clients fetch by themselves, and the help, without sign-in. No answer depends on an address: nobody finds out
 * by them who exists.
 */
import type { Hono } from "hono";
import { type FormatName, formatOf } from "../settings/formats.ts";
import { type PortalEnvironment, type PortalParts, serviceFor } from "./visit.ts";

const xml = "application/xml; charset=utf-8";

/** draft-ietf-mailmaint-autoconfig has the first two, [MS-OXDSCLI] the others; which letters are large differs by client. */
const files: readonly (readonly [path: string, format: FormatName, type: string])[] = [
  ["/mail/config-v1.1.xml", "config-v1.1.xml", xml],
  ["/.well-known/autoconfig/mail/config-v1.1.xml", "config-v1.1.xml", xml],
  ["/autodiscover/autodiscover.xml", "autodiscover", xml],
  ["/Autodiscover/Autodiscover.xml", "autodiscover", xml],
  ["/mail.mobileconfig", "mobileconfig", "application/x-apple-aspen-config; charset=utf-8"],
];

export function automaticRoutes(app: Hono<PortalEnvironment>, parts: PortalParts): void {
  const { incoming } = parts.config.portal;
  for (const [path, name, type] of files) {
    const { write, lacking } = formatOf(name);
    const answer = (): Response =>
      incoming === null && lacking?.isFile === false
        ? new Response("Apple takes no profile for sending alone; the help tells what to type.\n", {
            status: 404,
            headers: { "Content-Type": "text/plain; charset=utf-8" },
          })
        : new Response(write(serviceFor(parts), incoming ?? undefined), {
            headers: { "Content-Type": type, "Cache-Control": "public, max-age=3600" },
          });
    app.get(path, answer);
    if (name !== "autodiscover") continue;
    // What the client asks is not looked at, and so neither is whose address it names.
    app.post(path, answer);
  }
}
