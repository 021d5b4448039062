/** The portal's settings, as far as they can be judged without it. */
import { isIP } from "node:net";
import { writeAddress } from "../../config/setting-types.ts";
import { readSchemeName } from "../../passwd/stored.ts";
import { groupNamed } from "../system-user.ts";
import { type Look, orFailures } from "./context.ts";
import { fail, fine, type Judgement, warn } from "./rows.ts";

export const portal: Look = ({ config }) =>
  orFailures(async () => {
    const {
      proxies,
      url,
      certificate,
      listen,
      scheme,
      socket,
      "socket-group": group,
      "sign-in": signIn,
    } = config.portal;
    if (url === "") return [fine("", "no portal is configured")];
    const found: Judgement[] = [];
    if (certificate === "" && !isLoopback(listen.host)) {
      found.push(
        warn(
          writeAddress(listen),
          "speaks HTTP without TLS beyond this host, and people type passwords there",
          "Let portal.listen be on loopback, with the proxy there, or give portal.certificate.",
        ),
      );
    }
    if (certificate === "" && proxies.length === 0) {
      found.push(
        warn(
          writeAddress(listen),
          "takes all clients for one, its proxy: wrong passwords of one would block them all",
          "Name the proxy in portal.proxies.",
        ),
      );
    }
    if (signIn === "ldap" && config.ldap.url.length === 0)
      found.push(fail("", "people sign in by the directory, and ldap.url names none"));
    if (readSchemeName(scheme)?.scheme.weakness !== "")
      found.push(fail("", `portal.scheme: ${JSON.stringify(scheme)} is weak, or no scheme`));
    if (socket === "") {
      found.push(
        warn(
          "",
          "it can tell nothing of mail: portal.socket names no socket",
          "Name one, and restart the relay.",
        ),
      );
    } else if (group === "") {
      found.push(
        warn(
          socket,
          "has the relay's own group, whose members may do more than the portal needs",
          "Name the portal's group in portal.socket-group.",
        ),
      );
    } else await groupNamed(group, "portal.socket-group");
    return found.length > 0 ? found : [fine(url, `listens on ${writeAddress(listen)}`)];
  });

const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
