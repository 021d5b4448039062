/** What `serve` tells the portal of one login, and the test message that a login may send to itself. */
import { setTimeout as pause } from "node:timers/promises";
import type { Config } from "../../config/settings.ts";
import { shortDigest } from "../../passwd/password-names.ts";
import type { FrozenLogins } from "../../server/control/frozen-logins.ts";
import {
  type PortalDoor,
  type PortalMessage,
  type PortalPassword,
  type PortalTest,
  type PortalUse,
  startPortalDoor,
} from "../../server/control/portal-door.ts";
import type { HistoryEvent } from "../../server/history/event.ts";
import { eventsOf, eventsWith } from "../../server/history/reader.ts";
import { type MessageEvent, type Story, storiesOf } from "../../server/history/story.ts";
import { log } from "../../server/log/log.ts";
import { beginMessage } from "../../server/submission/receive.ts";
import { newSession, type SessionContext } from "../../server/submission/session.ts";
import { formatDate } from "../../smtp/date.ts";
import { type Reply, reply } from "../../smtp/reply.ts";
import { groupNamed } from "../system-user.ts";
import { historyDirectory } from "./history.ts";

export interface PortalDoorParts {
  readonly context: () => SessionContext;
  readonly settings: () => Config;
  readonly frozen: Pick<FrozenLogins, "of">;
  /** Why the password file does not know a login; "" where it does. */
  readonly whyUnknown: (login: string) => Promise<string>;
  /** What is known of a login's passwords; `digests` are those of the hashes that let it in. */
  readonly passwordsOf: (login: string, digests: readonly string[]) => Promise<readonly PortalPassword[]>;
  readonly now: () => number;
}

/** Messages that are told of, the newest, recipients of each, and clients that logged in. Our choice: a page. */
const mostMessages = 100;
const mostUses = 10;
const mostRecipients = 50;

/** Looks into the history that wait for their turn, and milliseconds of the rest between two. Our choice. */
const mostLooks = 5;
const longestRest = 1_000;

/** Test messages of a login in an hour. */
const mostTests = 5;
const hour = 3_600_000;

/** Opens the door where the configuration names one. Throws a Failure where the socket cannot be had. */
export async function openPortalDoor(
  { portal }: Pick<Config, "portal">,
  parts: PortalDoorParts,
): Promise<{ close(): Promise<void> }> {
  const { socket: path, "socket-group": group } = portal;
  if (path === "") return { close: async () => undefined };
  const gid = group === "" ? undefined : await groupNamed(group, "portal.socket-group");
  const server = await startPortalDoor({ path, setting: "portal.socket", gid }, newPortalDoor(parts));
  log("listening", { door: "portal", address: path });
  return server;
}

export function newPortalDoor(parts: PortalDoorParts): PortalDoor {
  const { context, settings, frozen, whyUnknown, passwordsOf, now } = parts;
  /** When each login sent its last tests. */
  const tests = new Map<string, readonly number[]>();
  /** Looks into the history: one at a time, and after each a rest as long, for mail comes first. */
  let last: Promise<unknown> = Promise.resolve();
  let looks = 0;

  async function look(login: string): Promise<{ readonly found: Recent; readonly took: number }> {
    const begun = now();
    const found = await recentOf(login, settings(), begun);
    return { found, took: Math.max(0, now() - begun) };
  }

  return {
    async state({ login }) {
      const { quota, authLimiter } = context();
      const freeze = frozen.of(login);
      return {
        known: (await whyUnknown(login)) === "",
        ...(freeze !== undefined && { frozen: { at: freeze.at, reason: freeze.reason } }),
        limits: quota.useOf(login),
        blocks: authLimiter.blocksOf(login),
        remembered: settings().history.keep,
      };
    },
    async messages({ login }) {
      if (looks >= mostLooks) return { messages: [], uses: [], busy: true };
      looks += 1;
      const mine = last.then(() => look(login));
      last = mine.then(
        ({ took }) => pause(Math.min(longestRest, took), undefined, { ref: false }),
        () => undefined, // the caller gets the error
      );
      try {
        return { ...(await mine).found, busy: false };
      } finally {
        looks -= 1;
      }
    },
    async passwords({ login }) {
      const digests = (await context().hashes(login)).map(shortDigest);
      const passwords = await passwordsOf(login, digests);
      return { passwords, remembers: settings().history.keep > 0 };
    },
    async takes({ login, digest }) {
      return { takes: (await context().hashes(login)).includes(digest) };
    },
    async test({ login }) {
      const recent = (tests.get(login) ?? []).filter((at) => at > now() - hour);
      if (recent.length >= mostTests) return { reply: enough };
      tests.set(login, [...recent, now()]);
      forgetOld(tests, now());
      const unknown = await whyUnknown(login);
      return unknown === "" ? sendTest(login, context()) : { reply: notKnown };
    },
  };
}

const enough = reply(450, "4.7.1", `${mostTests} test messages an hour are enough; please try again later`);
const notKnown = reply(550, "5.7.8", "The mail server does not know this login (yet); set a password first");
const frozenReply = reply(550, "5.7.13", "This login is disabled; please ask the people who run this server");

function forgetOld(tests: Map<string, readonly number[]>, now: number): void {
  for (const [login, times] of tests) if ((times.at(-1) ?? 0) <= now - hour) tests.delete(login);
}

interface Recent {
  readonly messages: readonly PortalMessage[];
  readonly uses: readonly PortalUse[];
}

/** Its messages and the clients that logged in, the newest first. */
async function recentOf(login: string, config: Config, now: number): Promise<Recent> {
  const { keep } = config.history;
  if (keep === 0) return { messages: [], uses: [] };
  const directory = historyDirectory(config);
  const span = { since: now - keep, until: Number.POSITIVE_INFINITY };
  const ids: string[] = [];
  const uses = new Map<string, PortalUse>();
  for await (const event of eventsWith(directory, [login], span)) {
    if (event.event === "accepted" && event.login === login) ids.push(event.id);
    if (event.event === "auth-accepted" && event.login === login) {
      const { at, client, mechanism } = event;
      uses.delete(client);
      uses.set(client, { at, client, mechanism });
    }
  }
  const used = [...uses.values()].slice(-mostUses).toReversed();
  const newest = new Set(ids.slice(-mostMessages));
  if (newest.size === 0) return { messages: [], uses: used };
  const events: MessageEvent[] = [];
  for await (const event of eventsOf(directory, newest, span)) if (isOfMessage(event)) events.push(event);
  return { messages: storiesOf(events).toReversed().flatMap(messageOf), uses: used };
}

const isOfMessage = (event: HistoryEvent): event is MessageEvent => "id" in event && event.id !== undefined;

function messageOf({ id, accepted, recipients, others }: Story): readonly PortalMessage[] {
  if (accepted === undefined) return [];
  const tried = [...recipients].slice(0, mostRecipients).flatMap(([address, tries]) => {
    const last = tries.at(-1);
    if (last === undefined) return [];
    const { at, result, relay, reply: said, times } = last;
    return [{ address, at, result, relay, reply: said, times }];
  });
  const held = others.findLast(({ event }) => event === "held" || event === "operator-act");
  return [
    {
      id,
      accepted: accepted.at,
      recipients: tried,
      total: accepted.recipients,
      held: held?.event === "held" || (held?.event === "operator-act" && held.act === "hold"),
      expired: others.some(({ event }) => event === "expired"),
      done: others.some(({ event }) => event === "removed"),
    },
  ];
}

/** From the login to its own address, by all rules that hold for its mail. */
async function sendTest(login: string, context: SessionContext): Promise<PortalTest> {
  const { isFrozen, quota, senders, now } = context;
  if (isFrozen(login)) return { reply: frozenReply };
  const address = senders.ownAddress(login);
  const begun = quota.begin(login);
  if ("code" in begun) return { reply: begun };
  const request = quota.addRecipient(begun, address);
  if ("code" in request) return { reply: request };
  const session = {
    ...newSession("local", "127.0.0.1"),
    helo: "portal",
    login: { name: login, mechanism: "PORTAL" },
    transaction: {
      sender: address,
      parameters: {},
      recipients: [{ address, state: "waiting" }],
      overshoot: 0,
      quotaRequest: request,
    },
  } as const;
  const message = await beginMessage(session, context, false);
  if ("code" in message) return { reply: message };
  message.take(Buffer.from(testMessage(address, now())));
  return withId((await message.end()).reply);
}

const testMessage = (address: string, now: number): string =>
  [
    `Date: ${formatDate(now)}`,
    `From: <${address}>`,
    `To: <${address}>`,
    "Subject: Test message",
    "Auto-Submitted: auto-generated", // RFC 3834 section 5
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=us-ascii",
    "",
    "You asked for this message on the page of the mail server.",
    "That it has come shows that mail from your login goes out.",
    "",
  ].join("\r\n");

function withId(said: Reply): PortalTest {
  const [, id] = /queued as ([0-9A-Z]+)$/.exec(said.text) ?? [];
  return id === undefined ? { reply: said } : { reply: said, id };
}
