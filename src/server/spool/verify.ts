/**
 * Finds every damage in a spool, and changes nothing. It reads every envelope and looks at every file, but for the
 * content of bodies. Works on a spool that nobody owns, before the sweep, and beside the owner at work (`live`): then what
 * is under way, drafts and bodies without an envelope, is no damage.
 */
import { join } from "node:path";
import { errorCode, errorText } from "../../failure.ts";
import { trialName } from "./commit.ts";
import type { Disk, FileInfo } from "./disk.ts";
import type { Envelope } from "./envelope.ts";
import { isDamaged, parseEnvelope } from "./envelope-file.ts";
import { parseJournalName } from "./journal-names.ts";
import { viewSegments } from "./journal-reading.ts";
import { format, journalFormat, readableFormats } from "./open.ts";
import { isQueueId } from "./queue-id.ts";

// What can be done about damage in a spool, as data, so that whoever found it can ask first, or ask the process that
// owns the spool. Nothing that a person may want is ever deleted: it is set aside in SPOOL/damaged/.

/** Files are named from the spool's folder: "queue/1A203997B800". */
export type Repair =
  | { readonly do: "nothing"; readonly because: string }
  | { readonly do: "set aside"; readonly files: readonly string[] }
  | { readonly do: "remove"; readonly file: string }
  | { readonly do: "set mode"; readonly file: string; readonly mode: number }
  | { readonly do: "set owner"; readonly file: string; readonly uid: number; readonly gid: number }
  | {
      readonly do: "set octets aside";
      /** The segment, and its number. */
      readonly file: string;
      readonly segment: number;
      readonly offset: number;
      readonly end: number;
    }
  | { readonly do: "write format" };

/** One damage: a line that names the file, what was expected and what was found, and what can be done. */
export interface SpoolFault {
  readonly fault: string;
  readonly repair: Repair;
}

/** A file that others keep in the spool. */
export interface KeptFile {
  /** Its name in the spool's folder. */
  readonly name: string;
  /** What is wrong with its text ("line 2: expected …, found …"), or undefined. */
  readonly fault: (text: string) => string | undefined;
  /** What to do then: its reader begins afresh without it ("set aside"), or a person must mend it, and why. */
  readonly repair: "set aside" | { readonly because: string };
}

/** How to look at a spool. */
export interface VerifyOptions {
  /** The owner may be at work meanwhile. */
  readonly live: boolean;
  readonly keptFiles: readonly KeptFile[];
}

const folders: readonly string[] = ["messages", "drafts", "queue", "history"];

/** What else may lie in the spool's folder: ours, and what mkfs makes. */
const known: readonly string[] = [
  ...folders,
  "journal",
  "control",
  "damaged",
  "events",
  "drain",
  "format",
  "imports",
  "in-hand",
  "lock",
  "lost+found",
  "mta-sts",
  "owner",
  "tls-reports",
];

/** A draft of our own that a crash left: of the format, or of what `durable.ts` replaces. */
const draftName = /^(format\.new|\..+\.new)$/;

/** Every damage, the spool's own files first, then message by message. Throws the system's error where it must give up. */
export async function* verify(
  disk: Disk,
  directory: string,
  look: VerifyOptions,
): AsyncGenerator<SpoolFault> {
  const { uid, gid } = await disk.look(directory);
  const site = { disk, directory, owner: { uid, gid } };
  const names = [...(await disk.list(directory))].sort();
  for (const name of names) yield* inTop(site, name, look);
  yield* inFormat(site, names);
  for (const { name, fault, repair } of look.keptFiles) {
    if (names.includes(name)) yield* inKeepsake(site, name, fault, repair);
  }
  const listed: Record<string, readonly string[]> = {};
  for (const folder of folders) {
    if (names.includes(folder)) listed[folder] = (await namesIn(disk, join(directory, folder))).sort();
    else yield { fault: `${folder}: expected a folder, found nothing`, repair: atStart("made") };
  }
  const queue = new Set(listed["queue"]);
  const journal = names.includes("journal")
    ? await inJournal(site, queue)
    : { faults: [], sound: new Set<string>() };
  for (const name of queue) yield* inQueue(site, name, look);
  for (const folder of ["messages", "history", "drafts"]) {
    for (const name of listed[folder] ?? []) {
      // A body that a crash left on its way out of the journal, which has the message; the next start removes it.
      if (folder === "messages" && !queue.has(name) && journal.sound.has(name)) continue;
      yield* beside(site, `${folder}/${name}`, queue.has(name), look);
    }
  }
  yield* journal.faults;
}

interface JournalFindings {
  readonly faults: readonly SpoolFault[];
  /** The messages that it has, whole. */
  readonly sound: ReadonlySet<string>;
}

/** What was promised in the journal, and what of it is not as it was written. `queue` has moved out of it. */
async function inJournal(site: Site, queue: ReadonlySet<string>): Promise<JournalFindings> {
  const faults: SpoolFault[] = [];
  const sound = new Set<string>();
  const { disk, directory } = site;
  const path = join(directory, "journal");
  for (const name of [...(await disk.list(path))].sort()) {
    const file = `journal/${name}`;
    const found = await lookAt(site, file);
    if (!found) continue; // taken again meanwhile
    if (parseJournalName(name) === undefined)
      faults.push({ fault: `${file}: expected no such file`, repair: stranger });
    else if (found.kind !== "file") faults.push(notAFile(file));
    else faults.push(...rights(site, file, found));
  }
  for await (const { name, number: segment, content } of viewSegments(disk, path)) {
    const file = `journal/${name}`;
    const aside = (offset: number, end: number): Repair => ({
      do: "set octets aside",
      file,
      segment,
      offset,
      end,
    });
    for (const { offset, end } of content.unreadable) {
      const expected = `expected a record at ${String(offset)}`;
      const fault = `${file}: ${expected}, found ${String(end - offset)} octets that are none`;
      faults.push({ fault, repair: aside(offset, end) });
    }
    for (const { id, record } of content.live) {
      if (record.isBodySound) sound.add(id);
      if (record.isBodySound || queue.has(id)) continue;
      const fault = `${file}: expected the message ${id} at ${String(record.offset)} as it was written, found another sum`;
      faults.push({ fault, repair: aside(record.offset, record.end) });
    }
  }
  return { faults, sound };
}

async function namesIn(disk: Disk, path: string): Promise<string[]> {
  return (await disk.list(path)).filter((name) => name !== trialName);
}

/** Where to look, and to whom everything must belong. */
interface Site {
  readonly disk: Disk;
  readonly directory: string;
  readonly owner: { readonly uid: number; readonly gid: number };
}

const left = (because: string): Repair => ({ do: "nothing", because });
const atStart = (done: string): Repair => left(`it is ${done} at the next start of the relay`);
const stranger = left("it is neither used nor removed");

async function* inTop(
  site: Site,
  name: string,
  { live, keptFiles: keepsakes }: VerifyOptions,
): AsyncGenerator<SpoolFault> {
  const found = await lookAt(site, name);
  if (!found || found.kind === "other") return; // gone, or a socket
  if (draftName.test(name)) {
    if (!live) yield { fault: `${name}: a draft that a crash left`, repair: { do: "remove", file: name } };
  } else if (known.includes(name) || keepsakes.some((keepsake) => keepsake.name === name)) {
    if (name !== "lost+found") yield* rights(site, name, found);
  } else yield { fault: `${name}: expected no such file`, repair: stranger };
}

async function* inFormat(site: Site, names: readonly string[]): AsyncGenerator<SpoolFault> {
  const expected = `expected "${names.includes("journal") ? journalFormat : format}"`;
  if (!names.includes("format")) {
    yield { fault: `format: ${expected}, found no such file`, repair: await formatRemedy(site) };
    return;
  }
  const text = await readFrom(site, "format");
  if ("trouble" in text) yield text.trouble;
  else if (!readableFormats.includes(text.text.trimEnd())) {
    const repair = /^tpa-submit spool \d+\n$/.test(text.text)
      ? left("run the version of tpa-submit that wrote this spool")
      : await formatRemedy(site);
    yield { fault: `format: ${expected}, found ${JSON.stringify(text.text.slice(0, 60))}`, repair: repair };
  }
}

/** The number is certain where the queue holds an envelope of ours: no other version would have let it stand. */
async function formatRemedy({ disk, directory }: Site): Promise<Repair> {
  const unsure = left("no envelope in queue/ tells which version wrote this spool");
  try {
    for (const id of (await disk.list(join(directory, "queue"))).filter(isQueueId)) {
      const envelope = parseEnvelope(await disk.readText(join(directory, "queue", id)), id, id);
      if (!isDamaged(envelope)) return { do: "write format" };
    }
  } catch (error) {
    if (errorCode(error) === "") throw error;
  }
  return unsure;
}

async function* inKeepsake(
  site: Site,
  name: string,
  faultIn: KeptFile["fault"],
  repair: KeptFile["repair"],
): AsyncGenerator<SpoolFault> {
  const text = await readFrom(site, name);
  if ("trouble" in text) yield text.trouble;
  else {
    const fault = faultIn(text.text);
    if (fault === undefined) return;
    yield {
      fault: `${name}: ${fault}`,
      repair: repair === "set aside" ? { do: "set aside", files: [name] } : left(repair.because),
    };
  }
}

async function* inQueue(site: Site, id: string, { live }: VerifyOptions): AsyncGenerator<SpoolFault> {
  const file = `queue/${id}`;
  for await (const finding of inEnvelope(site, id)) {
    if (live && !(await lookAt(site, file))) return; // let go while we looked
    yield finding;
  }
}

async function* inEnvelope(site: Site, id: string): AsyncGenerator<SpoolFault> {
  const file = `queue/${id}`;
  const body = `messages/${id}`;
  const found = await lookAt(site, file);
  if (!found) return;
  if (!isQueueId(id)) return yield { fault: `${file}: expected a queue ID for a name`, repair: stranger };
  if (found.kind !== "file") return yield notAFile(file);
  yield* rights(site, file, found);
  const text = await readFrom(site, file);
  if ("trouble" in text) return yield text.trouble;
  const envelope = parseEnvelope(text.text, id, file);
  const fault = isDamaged(envelope) ? envelope.damaged : await bodyFault(site, body, envelope);
  if (fault !== undefined) yield { fault, repair: await allAside(site, id) };
}

/** What is wrong with the body that `envelope` promises. */
async function bodyFault(site: Site, body: string, envelope: Envelope): Promise<string | undefined> {
  const found = await lookAt(site, body);
  if (!found) return `${body}: expected ${String(envelope.size)} octets, found no such file`;
  if (found.kind !== "file") return undefined; // told when messages/ is looked at
  if (found.octets === envelope.size) return undefined;
  return `${body}: expected ${String(envelope.size)} octets, as queue/${envelope.id} says, found ${String(found.octets)}`;
}

/** The envelope, and what there is beside it. */
async function allAside(site: Site, id: string): Promise<Repair> {
  const files = [`queue/${id}`];
  for (const file of [`messages/${id}`, `history/${id}`]) {
    if ((await lookAt(site, file))?.kind === "file") files.push(file);
  }
  return { do: "set aside", files };
}

/** A file of messages/, history/ or drafts/; `promised` where an envelope has its name. */
async function* beside(
  site: Site,
  file: string,
  promised: boolean,
  { live }: VerifyOptions,
): AsyncGenerator<SpoolFault> {
  const [folder, name = ""] = file.split("/");
  const found = await lookAt(site, file);
  if (!found) return;
  if (!isQueueId(name)) return yield { fault: `${file}: expected a queue ID for a name`, repair: stranger };
  if (found.kind !== "file") return yield notAFile(file);
  if (live && !promised) return; // of a message that comes or goes
  if (folder === "drafts") {
    if (!live) yield { fault: `${file}: a draft that a crash left`, repair: { do: "remove", file } };
  } else if (promised) yield* rights(site, file, found);
  else if (folder === "messages") {
    // A crash leaves this, and the next start removes it. But an envelope may have been lost otherwise as well.
    yield {
      fault: `${file}: expected queue/${name} to go with it`,
      repair: { do: "set aside", files: [file] },
    };
  } else yield { fault: `${file}: expected queue/${name} to go with it`, repair: { do: "remove", file } };
}

function notAFile(file: string): SpoolFault {
  return {
    fault: `${file}: expected a file, found a folder or a link`,
    repair: left("it is in nobody's way but yours"),
  };
}

/** Mode and owner, which keep people out and the relay in. */
function* rights({ owner }: Site, file: string, found: FileInfo): Generator<SpoolFault> {
  const mode = found.kind === "folder" ? 0o700 : 0o600;
  if (found.uid !== owner.uid) {
    yield {
      fault: `${file}: expected user ${String(owner.uid)}, who has the spool, found user ${String(found.uid)}`,
      repair: { do: "set owner", file, ...owner },
    };
  }
  if (found.mode !== mode) {
    yield {
      fault: `${file}: expected mode ${octal(mode)}, found ${octal(found.mode)}`,
      repair: { do: "set mode", file, mode },
    };
  }
}

/** Undefined where there is nothing of this name any more. */
async function lookAt({ disk, directory }: Site, file: string): Promise<FileInfo | undefined> {
  try {
    return await disk.look(join(directory, file));
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** A file's text, or what keeps us from reading it: that says nothing about what is in it. */
async function readFrom(
  { disk, directory }: Site,
  file: string,
): Promise<{ readonly text: string } | { readonly trouble: SpoolFault }> {
  try {
    return { text: await disk.readText(join(directory, file)) };
  } catch (error) {
    if (errorCode(error) === "") throw error;
    const repair = left("see to the disk, or to who may read it, first");
    return { trouble: { fault: `${file}: cannot be read: ${errorText(error)}`, repair: repair } };
  }
}

/** As people write modes: "0600". */
export const octal = (mode: number): string => mode.toString(8).padStart(4, "0");
