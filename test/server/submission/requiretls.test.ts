/** When REQUIRETLS is offered: where some way for mail to leave could keep the promise (RFC 8689 section 4.2.1). */
import { expect, test } from "vitest";
import { sessionRules } from "../../../src/commands/serve/session-rules.ts";
import { parseConfig } from "../../../src/config/config-file.ts";

const lmtp = 'delivery.relay = "lmtp://localhost:24"';
const noPolicies = "delivery.mta-sts = false";

test.each<readonly [string, readonly string[], boolean]>([
  ["by MX with MTA-STS", [], true],
  ["by MX without MTA-STS and DNSSEC", [noPolicies], false],
  ["by MX with DNSSEC", [noPolicies, 'delivery.dnssec-resolver = "127.0.0.1:53"'], true],
  ["by a relay", [noPolicies, 'delivery.relay = "smtp://relay.example.net:25"'], true],
  ["by LMTP", [lmtp], false],
  ["by LMTP, and for one domain by MX", [lmtp, "[[route]]", 'to = "example.net"'], true],
  [
    "by LMTP, and for one domain by MX that nobody signs",
    [lmtp, noPolicies, "[[route]]", 'to = "example.net"'],
    false,
  ],
])("%s", async (_, settings, offered) => {
  const source = ['hostname = "relay.example.org"', 'domain = "example.org"', ...settings].join("\n");
  const reading = parseConfig(source, "tpa-submit.toml");
  if ("mistakes" in reading) throw new Error(reading.mistakes.join("\n"));
  expect((await sessionRules(reading.config)).requireTls).toBe(offered);
});
