/** What is done to the messages of a spool, by the program's own code, and what the world is told meanwhile. */
import { buffer } from "node:stream/consumers";
import { newActionContext } from "../../../src/server/control/actions.ts";
import { openControlApi, verify } from "../../../src/server/control/api.ts";
import {
  newFreezeHold,
  openFrozenLogins,
  spoolWithFreezes,
} from "../../../src/server/control/frozen-logins.ts";
import type { ControlApi, ActionName as Word } from "../../../src/server/control/protocol.ts";
import type { Transport } from "../../../src/server/delivery/transport.ts";
import { logTo } from "../../../src/server/log/log.ts";
import { startScheduler } from "../../../src/server/queue/scheduler.ts";
import type { Disk } from "../../../src/server/spool/disk.ts";
import type { Envelope, RecipientState } from "../../../src/server/spool/envelope.ts";
import { fsckLocked, type KeptFile } from "../../../src/server/spool/fsck.ts";
import { isDamaged, openSpool, type Spool, viewSpool } from "../../../src/server/spool/spool.ts";
import { accepted, envelope, message, recipient } from "../delivery/fixtures.ts";
import { fakeTransport, patience, put, turnableClock } from "../queue/test-scheduler.ts";
import { earlier } from "./earlier.ts";
import { type Act, directory, frozenFile, type Promised, type Seen, type World, way } from "./replay.ts";

const hostname = "submission.example.org";
const by = { name: "root", uid: 0 };
const now = (): number => accepted;
/** IDs come from the time of the start, and those of the act must be others. */
const later = (): number => accepted + 60_000;
const frozenBefore = { login: "user2", at: accepted, by: "root (uid 0)", reason: "" };

/** What an act finds: messages to these recipients, and a login that is frozen. */
const messagesTo =
  (...all: readonly (readonly string[])[]) =>
  async (disk: Disk): Promise<void> => {
    const spool = await openSpool(directory, now, disk, way.journal);
    for (const recipients of all) await put(spool, { recipients: recipients.map((to) => recipient(to)) });
    await spool.close();
    await (await openFrozenLogins(frozenFile)).freeze(frozenBefore);
  };

/** The ID of the only message. */
async function onlyOn(disk: Disk): Promise<string> {
  const [id = "", ...others] = await (await viewSpool(directory, disk)).ids();
  if (id === "" || others.length > 0) throw new Error("expected one message");
  return id;
}

/** That `id` is there, whole, and as `wanted` says. */
const there =
  (id: string, wanted: (envelope: Envelope) => boolean = () => true): Promised =>
  ({ messages }) => {
    const found = messages.get(id);
    if (found === undefined) return `${id} is lost`;
    if (found.body !== message) return `${id} has another body`;
    return wanted(found.envelope)
      ? undefined
      : `${id} forgot what was recorded: ${JSON.stringify(found.envelope)}`;
  };

const gone =
  (id: string): Promised =>
  ({ messages }) =>
    messages.has(id) ? `${id} came back` : undefined;

/** Holds where one of them does; tells what the first one finds. */
const either =
  (one: Promised, other: Promised): Promised =>
  (seen) => {
    const wrong = one(seen);
    return wrong === undefined ? undefined : other(seen) && wrong;
  };

const states =
  (...wanted: readonly RecipientState[]) =>
  ({ recipients }: Envelope): boolean =>
    recipients.every(({ state }, index) => state === wanted[index]);

const receive: Act = {
  name: "receive",
  async run({ disk, tell }) {
    const spool = await openSpool(directory, now, disk, way.journal);
    const draft = await spool.draft();
    tell("message", either(gone(draft.id), there(draft.id)));
    const { id: _, size: __, ...fields } = envelope();
    await draft.write(Buffer.from(message, "latin1"));
    await draft.accept(fields);
    tell("message", there(draft.id, states("waiting"))); // 250
  },
};

/** Who takes part in a delivery may stand in its way to tell the world. */
interface Delivery {
  readonly spool: Spool;
  readonly transport: Transport;
}

/**
 * Delivers what is in the spool: next hops answer `answers`, and everything goes on until nothing more happens.
 */
async function delivered(
  { disk }: World,
  answers: Readonly<Record<string, string>>,
  stand: (delivery: Delivery) => Delivery,
  removed: (id: string) => void,
): Promise<void> {
  const clock = turnableClock(later());
  const opened = await openSpool(directory, clock.now, disk, way.journal);
  const fake = fakeTransport(clock.now);
  fake.answers = answers;
  const transport: Transport = {
    destination: (envelope, address) => fake.destination(envelope, address),
    deliver: (message, signal) => fake.deliver(message, signal),
  };
  logTo(({ event, fields }) => {
    if (event === "removed") removed(String(fields["id"]));
    if (event === "bug") throw new Error(String(fields["stack"]));
  });
  const scheduler = startScheduler({ ...stand({ spool: opened, transport }), hostname }, patience, clock);
  const busy = (): boolean => fake.delivered.length === 0 || scheduler.active().size > 0;
  for (let still = 0; still < 5; still = busy() ? 0 : still + 1) await new Promise(setImmediate);
  await scheduler.drain(0);
  logTo(() => undefined);
}

const deliver: Act = {
  name: "deliver",
  before: messagesTo(["a@example.net"]),
  async run(world) {
    const id = await onlyOn(world.disk);
    world.tell("message", there(id, states("waiting")));
    await delivered(
      world,
      {},
      ({ spool, transport }) => ({
        spool,
        transport: {
          ...transport,
          async deliver(message, signal) {
            const outcomes = await transport.deliver(message, signal);
            world.tell("message", either(gone(id), there(id))); // the next hop has it
            return outcomes;
          },
        },
      }),
      () => world.tell("message", gone(id)),
    );
  },
};

const record: Act = {
  name: "record",
  before: messagesTo(["good@example.net", "late@example.com"]),
  async run(world) {
    const id = await onlyOn(world.disk);
    const open = there(id, states("waiting", "waiting"));
    const done = there(id, states("delivered", "waiting"));
    world.tell("message", open);
    await delivered(
      world,
      { "late@example.com": "451 4.3.0 later" },
      ({ spool, transport }) => ({
        transport: {
          ...transport,
          async deliver(message, signal) {
            const outcomes = await transport.deliver(message, signal);
            if (outcomes.some(({ reply }) => reply.code === 250)) world.tell("message", either(done, open));
            return outcomes;
          },
        },
        spool: {
          ...spool,
          async record(envelope) {
            const outcome = await spool.record(envelope);
            if (states("delivered", "waiting")(envelope)) world.tell("message", done);
            return outcome;
          },
        },
      }),
      () => undefined,
    );
  },
};

/** That the sender's report about `address` is there. */
const reportAbout =
  (address: string): Promised =>
  ({ messages }) =>
    [...messages.values()].some(({ envelope, body }) => envelope.sender === "" && body.includes(address))
      ? undefined
      : `nobody is told about ${address}`;

const report: Act = {
  name: "report",
  before: messagesTo(["bad@example.net"]),
  async run(world) {
    const id = await onlyOn(world.disk);
    const told = reportAbout("bad@example.net");
    world.tell("message", either(there(id, states("waiting")), told));
    await delivered(
      world,
      { "bad@example.net": "550 5.1.1 no such user", "user1@example.org": "451 4.3.0 later" },
      (delivery) => delivery,
      () => {
        world.tell("message", gone(id));
        world.tell("report", told);
      },
    );
  },
};

/** The control API of a spool that nobody else has, as `tpa-submit queue` opens it. */
async function apiOn(disk: Disk): Promise<{ readonly api: ControlApi; readonly close: () => Promise<void> }> {
  const opened = await openSpool(directory, later, disk, way.journal);
  const frozen = await openFrozenLogins(frozenFile);
  const freezeHold = newFreezeHold(frozen);
  const spool = spoolWithFreezes(opened, freezeHold);
  const people = {
    sessionsOf: () => 0,
    endSessions: () => 0,
    limitsOf: () => [],
    blocksOf: () => [],
    unblock: () => 0,
    whyUnknown: async () => "",
    sent: () => ({ messages: 0, recipients: 0 }),
    addSent: () => undefined,
  };
  const floor = newActionContext({
    spool,
    frozen,
    freezeHold,
    sessions: people,
    relayState: async () => undefined,
    retryPolicy: patience,
    now: later,
    hostname,
  });
  return {
    api: openControlApi(floor, () => new Promise<void>(() => undefined), []),
    close: () => opened.close(),
  };
}

/** An order about the only message, after which `stands`. */
const ordered =
  (word: Word, stands: (envelope: Envelope) => boolean, more: { reason?: string; relay?: string }) =>
  async ({ disk, tell }: World): Promise<void> => {
    const id = await onlyOn(disk);
    tell("message", there(id));
    const { api, close } = await apiOn(disk);
    for await (const { outcome } of api({
      verb: "act",
      action: word,
      ids: [id],
      reason: "",
      relay: "",
      by,
      ...more,
    })) {
      if (outcome !== "done") throw new Error(`${word}: ${outcome}`);
      tell("message", there(id, stands));
    }
    await close();
  };

const hold: Act = {
  name: "hold",
  before: messagesTo(["a@example.net"]),
  run: ordered("hold", ({ held }) => held?.reason === "to be asked about", { reason: "to be asked about" }),
};

const release: Act = {
  name: "release",
  async before(disk) {
    await messagesTo(["a@example.net"])(disk);
    await ordered("hold", () => true, {})({ disk, tell: () => undefined });
  },
  run: ordered("release", ({ held }) => held === undefined, {}),
};

const backup = "smtp://backup.example.net:25";
const redirect: Act = {
  name: "redirect",
  before: messagesTo(["a@example.net"]),
  run: ordered("redirect", ({ relay }) => relay === backup, { relay: backup }),
};

/** That exactly these are frozen; "maybe" those that are neither meant to be nor not to be. */
const frozenAre =
  (logins: readonly string[], maybe: readonly string[] = []): Promised =>
  ({ frozen }) => {
    if (typeof frozen === "string") return frozen;
    const missing = logins.filter((login) => !frozen.includes(login));
    const others = frozen.filter((login) => ![...logins, ...maybe].includes(login));
    if (missing.length > 0) return `${missing.join()} may send again`;
    return others.length === 0 ? undefined : `${others.join()} came back`;
  };

const freeze: Act = {
  name: "freeze",
  before: messagesTo(["a@example.net"]),
  async run({ disk, tell }) {
    tell("message", there(await onlyOn(disk)));
    tell("logins", frozenAre(["user2"], ["user1"]));
    const { api, close } = await apiOn(disk);
    for await (const _ of api({ verb: "freeze", login: "user1", reason: "", by })) {
      tell("logins", frozenAre(["user1", "user2"]));
    }
    tell("logins", frozenAre(["user1"], ["user2"]));
    for await (const _ of api({ verb: "thaw", login: "user2", by })) tell("logins", frozenAre(["user1"]));
    await close();
  },
};

/** As serve keeps it beside the messages. */
const usage: KeptFile = {
  name: "usage",
  fault: (text) => (text.startsWith("usage 1\n") ? undefined : 'expected "usage 1"'),
  repair: "set aside",
};

async function overwrite(disk: Disk, path: string, text: string): Promise<void> {
  await disk.unlink(path).catch(() => undefined);
  await (await disk.create(path)).write(Buffer.from(text));
}

/** Whether one of the files that `seen` has after the start holds this text. */
const kept = ({ after }: Seen, text: string | undefined): boolean => [...after.values()].includes(text);

const verifying: Act = {
  name: "verify",
  async before(disk) {
    await messagesTo(["a@example.net"], ["b@example.net"], ["c@example.net"], ["d@example.net"])(disk);
    const [, short = "", torn = "", alone = ""] = await disk.list(`${directory}/queue`);
    await overwrite(disk, `${directory}/messages/${short}`, "cut sho");
    await overwrite(disk, `${directory}/queue/${torn}`, '{"version": 2, "id"');
    await disk.append(`${directory}/history/${torn}`, "not JSON\n");
    await disk.unlink(`${directory}/queue/${alone}`);
    await overwrite(disk, `${directory}/usage`, "usage zero\n");
    await overwrite(disk, `${directory}/format`, "");
  },
  async run({ disk, tell }) {
    const [sound = "", short = "", torn = ""] = await disk.list(`${directory}/queue`);
    const textOf = (file: string): Promise<string> => disk.readText(`${directory}/${file}`);
    const files = [
      `queue/${short}`,
      `messages/${short}`,
      `queue/${torn}`,
      `messages/${torn}`,
      `history/${torn}`,
    ];
    const texts = new Map<string, string>();
    for (const file of [...files, "usage"]) texts.set(file, await textOf(file));
    const written = await textOf(`queue/${sound}`);
    tell("start", () => undefined); // until the format is written
    tell("damage", ({ damaged }) => damaged.get(sound));
    tell("what a person may want", (seen) =>
      [...texts.keys()].find((file) => !kept(seen, texts.get(file)))?.concat(" is lost"),
    );
    tell("message", ({ after }) =>
      after.get(`${directory}/queue/${sound}`) === written &&
      after.get(`${directory}/messages/${sound}`) === message
        ? undefined
        : `${sound} is lost`,
    );
    const care = await fsckLocked(directory, later, disk);
    for await (const { fault, remedy, repaired } of verify({ verb: "verify", repair: true, by }, care, [
      usage,
    ])) {
      if (!repaired) throw new Error(`${fault}: ${remedy}`);
      if (remedy === "write format anew") tell("start", ({ trouble }) => trouble);
      const aside = /^set (.*) aside in damaged\/$/.exec(remedy)?.[1]?.split(" and ") ?? [];
      if (aside.length > 0) tell(remedy, isAside(aside));
    }
    tell("damage", ({ damaged }) => [...damaged.values()][0]);
    for await (const { fault } of verify({ verb: "verify", repair: false, by }, care, [usage]))
      throw new Error(fault);
    await care.close();
  },
};

const isAside =
  (files: readonly string[]): Promised =>
  ({ after }) => {
    for (const file of files) {
      if (after.has(`${directory}/${file}`)) return `${file} came back`;
      if (!after.has(`${directory}/damaged/${file.replace("/", "-")}`)) return `${file} is lost`;
    }
    return undefined;
  };

const upgrade: Act = {
  name: "upgrade",
  found: () => earlier(directory),
  async run({ disk, tell }) {
    const format = `${directory}/format`;
    const octets = async (file: string) =>
      (await buffer(disk.stream(`${directory}/${file}`, 1e6))).toString("latin1");
    const whole = new Map<string, { envelope: string; body: string }>();
    for (const id of await disk.list(`${directory}/queue`)) {
      whole.set(id, { envelope: await octets(`queue/${id}`), body: await octets(`messages/${id}`) });
    }
    const isNew = (seen: Seen): boolean => seen.before.get(format) === "tpa-submit spool 2\n";
    for (const [id, { envelope, body }] of whole) {
      tell(id, ({ messages, before }) => {
        const found = messages.get(id);
        if (found === undefined) return `${id} is lost`;
        if (found.body !== body) return `${id} has another body`;
        return before.get(`${directory}/queue/${id}`) === envelope ? undefined : `${id} is another`;
      });
    }
    tell("format", (seen) => {
      const files = [...seen.before].filter(([path]) => path.startsWith(`${directory}/queue/`));
      const isSecret = files.some(([, content]) => content?.includes('"version": 2') === true);
      return isSecret && !isNew(seen)
        ? "a program of format 1 would read what it cannot understand"
        : undefined;
    });
    const spool = await openSpool(directory, later, disk);
    tell("format", (seen) => (isNew(seen) ? undefined : "the format is forgotten"));
    const [id = ""] = await spool.ids();
    const found = await spool.read(id);
    if (isDamaged(found)) throw new Error(found.damaged);
    const known = ({ messages }: Seen): Envelope | undefined => messages.get(id)?.envelope;
    tell(id, (seen) => (known(seen) ? undefined : `${id} is lost`));
    await spool.record({ ...found, requireTls: true });
    tell(id, (seen) => (known(seen)?.requireTls === true ? undefined : `${id} forgot what was recorded`));
    await spool.close();
  },
};

export const acts: readonly Act[] = [
  receive,
  deliver,
  record,
  report,
  hold,
  release,
  redirect,
  freeze,
  verifying,
  upgrade,
];
