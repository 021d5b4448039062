/** A real Postfix that sends its mail through us, set up as the service's manual tells people to. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../demo/relay.mjs";
import { runWell } from "../tools/child.mjs";
import { until } from "../tools/until.ts";
import { capturingHop, type Hop } from "./hops.ts";
import { newLetter } from "./letter.ts";
import { type Extras, type Postfix, startPostfix } from "./postfix.mjs";
import { realPostfix } from "./root.ts";

/** SUBMISSION, SUBMISSIONS and PASSWORD stand for the relay's. */
const setups: readonly (readonly [string, string, Extras])[] = [
  [
    "relayhost",
    `smtp_sasl_auth_enable=yes
smtp_sasl_password_maps=hash:FOLDER/passwd
smtp_sasl_security_options=
relayhost=[127.0.0.1]:SUBMISSION
smtp_tls_security_level=encrypt`,
    { files: { passwd: "127.0.0.1 user1:PASSWORD\n" }, maps: ["passwd"] },
  ],
  [
    "a relayhost for one sender",
    `smtp_sasl_auth_enable=yes
smtp_sasl_password_maps=hash:FOLDER/passwd
smtp_sasl_security_options=
smtp_tls_security_level=encrypt
smtp_sender_dependent_authentication=yes
sender_dependent_relayhost_maps=hash:FOLDER/sender_relay
relayhost=[127.0.0.1]:9`,
    {
      files: {
        passwd: "user1@example.org user1:PASSWORD\n",
        sender_relay: "user1@example.org [127.0.0.1]:SUBMISSION\n",
      },
      maps: ["passwd", "sender_relay"],
    },
  ],
  [
    "TLS from the first byte, with the login in full",
    `smtp_sasl_auth_enable=yes
smtp_sasl_password_maps=inline:{127.0.0.1=user1@example.org:PASSWORD}
smtp_sasl_security_options=
smtp_tls_wrappermode=yes
smtp_tls_security_level=encrypt
relayhost=[127.0.0.1]:SUBMISSIONS`,
    {},
  ],
];

describe.skipIf(!realPostfix("postfix sasl", "swaks"))("a real Postfix sends through us with", () => {
  let hop: Hop;
  let relay: Relay;

  beforeAll(async () => {
    hop = await capturingHop();
    relay = await startRelay(`[delivery]\n${hop.delivery}`);
  });
  afterAll(async () => {
    await relay?.stop();
    await hop?.stop();
  });

  test.each(setups)("%s", async (_, settings, extras) => {
    const { token, octets } = newLetter();
    const postfix = await startWith(settings, extras, relay.password);
    try {
      await hand(postfix, octets);
      const arrived = await hop.arrived(token);
      expect(arrived).toMatch(
        /^Received: from authenticated-user by relay\.example\.org\r\n\twith ESMTPSA [\s\S]*?\r\nReceived: from \S+ .*\r\n\tby postfix\.example\.net /,
      );
      expect(arrived.endsWith(`\r\n${octets.toString("latin1")}\r\n`)).toBe(true);
    } finally {
      await postfix.stop();
    }
  });

  test("a wrong password, and keeps the message", async () => {
    const [, settings, extras] = setups[0] ?? ["", "", {}];
    const postfix = await startWith(settings, extras, "wrong");
    try {
      await hand(postfix, newLetter().octets);
      const said = /status=deferred \(SASL authentication failed; server \S+ said: 535 5\.7\.8 /;
      await until("Postfix to be refused", async () => (said.test(await postfix.log()) ? true : undefined));
    } finally {
      await postfix.stop();
    }
  });

  test("a foreign sender, and gives the message up", async () => {
    const [, settings, extras] = setups[0] ?? ["", "", {}];
    const postfix = await startWith(settings, extras, relay.password);
    try {
      await hand(postfix, newLetter().octets, "boss@example.org");
      const said =
        /status=bounced \(host \S+ said: 550 5\.7\.1 user1 may not send as boss@example\.org, but as: user1@/;
      await until("Postfix to be refused", async () => (said.test(await postfix.log()) ? true : undefined));
    } finally {
      await postfix.stop();
    }
  });

  function startWith(settings: string, extras: Extras, password: string): Promise<Postfix> {
    const fill = (text: string): string =>
      text
        .replace("SUBMISSIONS", String(relay.submissions))
        .replace("SUBMISSION", String(relay.submission))
        .replace("PASSWORD", password);
    const files = Object.entries(extras.files ?? {}).map(([name, text]) => [name, fill(text)] as const);
    return startPostfix(fill(settings), { ...extras, files: Object.fromEntries(files) });
  }

  /** As if somebody on its host had written it. */
  async function hand({ port }: Postfix, octets: Buffer, from = "user1@example.org"): Promise<void> {
    const envelope = ["-f", from, "-t", "x@example.net"];
    await runWell("swaks", ["-s", `127.0.0.1:${port}`, ...envelope, "--data", "-"], octets);
  }
});
