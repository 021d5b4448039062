/**
 * A way for mail to leave: the settings that [delivery] has for all mail and each [[route]] for some, and what no one
 * of them can tell alone.
 */
import { isIP, isIPv6 } from "node:net";
import { setting, type ValuesOf } from "./schema.ts";
import { choice, list, oneOrMore, pathOrNone, relay, type SettingType, text } from "./setting-types.ts";

const ipAddress: SettingType<string> = {
  expected: 'an IP address such as "192.0.2.25" or "2001:db8::25"',
  read: (value) => (typeof value === "string" && isIP(value) !== 0 ? value : undefined),
};

export const routeSettings = {
  relay: setting(oneOrMore(relay), "mx", "Where mail goes; of several relays, to the first that takes it."),
  "relay-user": setting(text, "", "Login at the relay."),
  "relay-password-file": setting(pathOrNone, "", "File with the password for it."),
  "relay-ca": setting(
    pathOrNone,
    "",
    "Certificates (PEM) to trust at the relay in place of Mozilla's, which come with Node.js.",
  ),
  tls: setting(
    choice("auto", "opportunistic", "encrypted", "verified"),
    "auto",
    "auto: verified where a password or smtps is used, else opportunistic.",
  ),
  "source-addresses": setting(
    list(ipAddress),
    [],
    "Addresses of this host to connect from, one IPv4 and one IPv6 at most.",
  ),
};

export type RouteSettings = ValuesOf<typeof routeSettings>;

/** A row like those of checks.ts; `settings` are keys of the way's table. */
export interface RouteCheck {
  readonly settings: readonly [keyof RouteSettings, ...(keyof RouteSettings)[]];
  readonly mistake: (way: RouteSettings) => string | undefined;
}

const alone: readonly string[] = ["mx", "file"];

export const routeChecks: readonly RouteCheck[] = [
  {
    settings: ["relay"],
    mistake: ({ relay: relays }) => (relays.length > 0 ? undefined : "expected at least one, found none"),
  },
  {
    settings: ["relay"],
    mistake: ({ relay: relays }) =>
      relays.length > 1 && relays.some(({ kind }) => alone.includes(kind))
        ? 'expected "mx" and "file:" to stand alone, found them beside another relay'
        : undefined,
  },
  {
    settings: ["relay"],
    mistake: ({ relay: relays }) =>
      relays.some(({ kind }) => kind === "lmtp") && relays.some(({ kind }) => kind.startsWith("smtp"))
        ? "expected relays that speak one language, found smtp and lmtp"
        : undefined,
  },
  {
    settings: ["relay-user", "relay"],
    mistake: ({ relay: relays, "relay-user": user }) =>
      user === "" || relays.every(({ kind }) => kind === "smtp" || kind === "smtps")
        ? undefined
        : `expected "" unless relay is smtp:// or smtps://, which alone take a login, found "${user}"`,
  },
  {
    settings: ["relay-password-file", "relay-user"],
    mistake: ({ "relay-user": user, "relay-password-file": file }) =>
      user !== "" && file === "" ? 'expected the file with the password of relay-user, found ""' : undefined,
  },
  {
    settings: ["relay-user", "relay-password-file"],
    mistake: ({ "relay-user": user, "relay-password-file": file }) =>
      file !== "" && user === "" ? 'expected the login that relay-password-file is for, found ""' : undefined,
  },
  {
    settings: ["source-addresses"],
    mistake: ({ "source-addresses": addresses }) => {
      const sixes = addresses.filter(isIPv6).length;
      const fits = sixes <= 1 && addresses.length - sixes <= 1;
      return fits ? undefined : "expected one IPv4 and one IPv6 address at most, found several of a kind";
    },
  },
];
