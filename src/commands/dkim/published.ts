/** What the DNS says of each key: asked of the name servers that deliveries ask. */
import type { Config } from "../../config/settings.ts";
import { records } from "../../probe/checkup/spf.ts";
import type { SigningKey } from "../../server/delivery/dkim/keys.ts";
import { comparePublished, type Published, recordName } from "../../smtp/dkim/record.ts";
import { dnsOf } from "../check/outgoing.ts";

/** In the order of `keys`. */
export async function publishedOf(
  keys: readonly SigningKey[],
  { delivery }: Pick<Config, "delivery">,
): Promise<readonly Published[]> {
  const resolver = dnsOf(delivery);
  return Promise.all(
    keys.map(async ({ selector, domain, kind, key }) => {
      const found = await records(resolver.resolveTxt(recordName(selector, domain)));
      return comparePublished(
        found === "trouble" ? found : found.map((strings) => strings.join("")),
        kind,
        key,
      );
    }),
  );
}

/** What is not right, each "NAME is missing"; "" where all are as they should be. */
export function faultsText(keys: readonly SigningKey[], published: readonly Published[]): string {
  return keys
    .flatMap(({ selector, domain }, at) => {
      const found = published[at];
      return found === undefined || found.state === "published"
        ? []
        : [`${recordName(selector, domain)} ${found.words}`];
    })
    .join("; ");
}
