/**
 * `log.privacy = "shortened"`: what is logged, and with it kept in the history, tells of a client only its network, and of
 * a recipient a digest in place of the local part, by a key of the day. Pure.
 */
import { createHmac } from "node:crypto";
import { isIP, isIPv4 } from "node:net";
import { domainOf } from "../../smtp/address.ts";
import type { EventName } from "./events.ts";
import { type FieldKind, fieldKinds } from "./fields.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Makes the fields of an event shorter; `keepClient` leaves the address of the client, for a ban. */
export type Shorten = (event: EventName, fields: Fields, keepClient?: boolean) => Fields;

/** `keyOf` gives the key of the day. */
export const newShortener =
  (keyOf: () => Uint8Array): Shorten =>
  (event, fields, keepClient = false) => {
    const kinds: Readonly<Record<string, FieldKind | undefined>> = fieldKinds[event];
    const key = keyOf();
    const clean = (name: string, value: unknown): unknown => {
      switch (kinds[name]) {
        case "client":
          return keepClient ? value : eachText(value, shortenAddresses);
        case "recipient":
          return eachText(value, (address) => hashRecipient(address, key));
        case "said":
          return eachText(value, (text) => shortenSaid(text, fields, key, keepClient));
        default:
          return value; // a field without a kind does not pass the compiler
      }
    };
    return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, clean(name, value)]));
  };

/** A text, or a reply, whose text is the only one that others chose. */
function eachText(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === "string") return change(value);
  if (typeof value !== "object" || value === null) return value;
  const { text } = value as Fields;
  return typeof text === "string" ? { ...value, text: change(text) } : value;
}

/** `anna@example.net` as `#` and twelve hexadecimal digits `@example.net`; upper and lower case are the same. */
export function hashRecipient(address: string, key: Uint8Array): string {
  if (address === "") return "";
  const digest = createHmac("sha256", key).update(address.toLowerCase()).digest("hex").slice(0, 12);
  const domain = domainOf(address);
  return domain === "" ? `#${digest}` : `#${digest}@${domain}`;
}

/** `192.0.2.7` as `192.0.2.0/24`, `2001:db8:1:2::3` as `2001:db8:1::/48`; anything else as it is. */
export function shortenAddress(address: string): string {
  const mapped = /^::ffff:([\d.]+)$/i.exec(address)?.[1] ?? "";
  if (isIPv4(mapped)) return shortenAddress(mapped);
  if (isIPv4(address)) return address.replace(/\.\d+$/, ".0/24");
  if (isIP(address) !== 6) return address;
  const [before = "", after] = address.replace(/%.*/, "").split("::");
  const first = before === "" ? [] : before.split(":");
  const last = after === undefined || after === "" ? [] : after.split(":");
  const filled = [...first, ...Array.from({ length: 8 - first.length - last.length }, () => "0"), ...last];
  const network = filled.slice(0, 3);
  while (/^0{1,4}$/.test(network.at(-1) ?? "")) network.pop();
  return `${network.join(":")}::/48`;
}

/** An address that is all of `text`, and those in brackets: `unknown[192.0.2.7]`, `[IPv6:2001:db8::1]`. */
function shortenAddresses(text: string): string {
  if (isIP(text) !== 0) return shortenAddress(text);
  return text.replace(
    /\[(IPv6:)?([0-9a-f:.%]{2,60})\]/gi,
    (_, tag: string | undefined, address: string) => `[${tag ?? ""}${shortenAddress(address)}]`,
  );
}

/** Words that may quote whom the event is about, or another address. */
function shortenSaid(text: string, fields: Fields, key: Uint8Array, keepClient: boolean): string {
  const { to, client } = fields;
  let said = text.replace(/[^\s<>"(),:;[\]]{1,64}@[a-z0-9.-]{1,255}/gi, (found) => hashRecipient(found, key));
  const local = typeof to === "string" ? to.slice(0, Math.max(0, to.lastIndexOf("@"))) : "";
  if (local.length > 2 && typeof to === "string") {
    said = replaceWord(said, local, hashRecipient(to, key).split("@")[0] ?? "");
  }
  const address = typeof client === "string" ? (/\[([^[\]]{1,100})\]$/.exec(client)?.[1] ?? "") : "";
  return keepClient || address === "" ? said : said.replaceAll(address, shortenAddress(address));
}

/** Where it stands alone, whatever its case: no letter or digit beside it. */
function replaceWord(text: string, word: string, by: string): string {
  const lower = text.toLowerCase();
  if (lower.length !== text.length) return text.replaceAll(word, by);
  const wanted = word.toLowerCase();
  let done = "";
  let from = 0;
  for (let at = lower.indexOf(wanted); at !== -1; at = lower.indexOf(wanted, at + wanted.length)) {
    const end = at + wanted.length;
    if (/[\p{L}\p{N}]/u.test(text.charAt(at - 1)) || /[\p{L}\p{N}]/u.test(text.charAt(end))) continue;
    done += text.slice(from, at) + by;
    from = end;
  }
  return done + text.slice(from);
}
