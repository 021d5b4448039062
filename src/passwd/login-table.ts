/**
 * A password file as it lies in memory: its octets, and where the lines of each login begin. A line is read again when
 * its login is asked for, so a hundred thousand logins cost nothing until then. The arrays go from one thread to
 * another without being copied. No disk, no threads.
 */
import {
  canonicalLogin,
  type DisabledLine,
  type EntryLine,
  isEntry,
  type PasswordLine,
  readLine,
  requireText,
} from "./password-file.ts";
import { leastScramRounds } from "./pbkdf2.ts";
import type { Keys, ScramDigest } from "./scheme.ts";

/** Mechanisms that prove the knowledge of a password without sending it. */
export type Challenge = "CRAM-MD5" | "SCRAM-SHA-1" | "SCRAM-SHA-256";

export interface ScramParameters {
  readonly rounds: number;
  /** Of the salt. */
  readonly octets: number;
  /** The keys are made from a cleartext password each time. */
  readonly isDerived: boolean;
}

/** Of the keys that are made from cleartext; rounds and salt as new values of the schemes have them. */
export const derivedParameters: ScramParameters = { rounds: leastScramRounds, octets: 16, isDerived: true };

/** What is known of all lines together. */
export interface LoginTableFacts {
  /** Those that some login has keys for. */
  readonly challenges: readonly Challenge[];
  /** The parameters that most logins' keys for SCRAM have; without a row no login has such keys. */
  readonly scramParameters: ReadonlyMap<ScramDigest, ScramParameters>;
  /** One hash of each kind: of each algorithm and cost. */
  readonly samples: ReadonlyMap<string, string>;
  /** The kinds that some login's lines have together. */
  readonly mixes: readonly (readonly string[])[];
}

/** Plain data, for structured clone. */
export interface LoginTable extends LoginTableFacts {
  readonly octets: Uint8Array<ArrayBuffer>;
  /** {@link rowLength} numbers for each line of a login here. */
  readonly rows: Uint32Array<ArrayBuffer>;
  /** By the digest of a login, modulo their number: its first row, counted from one; 0 where there is none. */
  readonly slots: Uint32Array<ArrayBuffer>;
  /** How many logins are let in. */
  readonly size: number;
  /** How many lines let nobody in. */
  readonly ignored: number;
  /** Where the decoy's line begins, and its number; undefined where nobody is let in. */
  readonly decoy: LinePlace | undefined;
}

interface LinePlace {
  readonly start: number;
  readonly number: number;
}

/** A row: the digest of the login, where its line begins, the line's number, and the next row of the same slot. */
const rowLength = 4;

/** A table with what is new in it. */
export interface ReadTable {
  readonly table: LoginTable;
  /** Lines that let nobody in and did not before, two numbers each: where one begins, and its number. */
  readonly news: Uint32Array<ArrayBuffer>;
  /** All that let nobody in, for the next file to be compared with. */
  readonly reported: Uint8Array<ArrayBuffer>;
}

/** Reads the whole of a file. Throws {@link Failure} where it is not text. `reported` is of the file before. */
export function readTable(
  octets: Uint8Array<ArrayBuffer>,
  domain: string,
  reported: Uint8Array = new Uint8Array(),
): ReadTable {
  requireText(octets);
  const known = new Set(Buffer.from(reported).toString().split("\n"));
  const text = bufferOver(octets);
  const rows = new Uint32Array(rowLength * countLines(octets));
  const shut: string[] = [];
  const news: number[] = [];
  const facts = newFacts();
  let used = 0;

  for (const place of linePlaces(text)) {
    const line = lineAt(text, place, domain);
    if (!line) continue;
    const login = canonicalLogin(line.login, domain);
    if (login !== undefined) {
      rows.set([digestOf(login), place.start, place.number], used);
      used += rowLength;
    }
    if (isEntry(line)) facts.add(login ?? "", line, place);
    else {
      const complaint = `${line.login}: ${line.reason}`;
      shut.push(complaint);
      if (!known.has(complaint)) news.push(place.start, place.number);
    }
  }
  const found = facts.found();
  const ignored = shut.length;
  return {
    table: { octets, rows, slots: linkRows(rows, used), ignored, ...found },
    news: Uint32Array.from(news),
    reported: new Uint8Array(Buffer.from(shut.join("\n"))),
  };
}

/** What a thread may give away with a table. */
export function buffersOf({ table, news, reported }: ReadTable): readonly ArrayBuffer[] {
  return [table.octets, table.rows, table.slots, news, reported].map(({ buffer }) => buffer);
}

/** The lines of `login`, which is canonical, in the file's order. */
export function linesOf(table: LoginTable, login: string, domain: string): readonly PasswordLine[] {
  const { rows, slots } = table;
  const text = bufferOver(table.octets);
  const digest = digestOf(login);
  const lines: PasswordLine[] = [];
  for (let row = slots[digest % slots.length] ?? 0; row > 0; ) {
    const at = (row - 1) * rowLength;
    row = rows[at + 3] ?? 0;
    if (rows[at] !== digest) continue;
    const line = lineAt(text, { start: rows[at + 1] ?? 0, number: rows[at + 2] ?? 0 }, domain);
    if (line && canonicalLogin(line.login, domain) === login) lines.push(line);
  }
  return lines;
}

/** The line that no login's password is checked against, so that the time of an answer says nothing. */
export function decoyOf({ octets, decoy }: LoginTable, domain: string): EntryLine | undefined {
  const line = decoy && lineAt(bufferOver(octets), decoy, domain);
  return line && isEntry(line) ? line : undefined;
}

/** The lines of `news`, in order, each read when it is taken. */
export function* disabledLines(
  { octets }: LoginTable,
  news: Uint32Array,
  domain: string,
): Generator<DisabledLine> {
  const text = bufferOver(octets);
  for (let at = 0; at < news.length; at += 2) {
    const line = lineAt(text, { start: news[at] ?? 0, number: news[at + 1] ?? 0 }, domain);
    if (line && !isEntry(line)) yield line;
  }
}

/** Undefined for a blank line and a comment. */
function lineAt(text: Buffer, { start, number }: LinePlace, domain: string): PasswordLine | undefined {
  const end = text.indexOf(newline, start);
  const line = readLine(text.toString("utf8", start, end < 0 ? text.length : end), number);
  if (!line || canonicalLogin(line.login, domain) !== undefined) return line;
  return { number, login: line.login, reason: "the login is of another domain" };
}

const newline = 10;

function* linePlaces(text: Buffer): Generator<LinePlace> {
  let start = text.subarray(0, 3).equals(byteOrderMark) ? byteOrderMark.length : 0; // some editors write one
  for (let number = 1; start < text.length; number += 1) {
    yield { start, number };
    const end = text.indexOf(newline, start);
    start = end < 0 ? text.length : end + 1;
  }
}

const byteOrderMark = Buffer.of(0xef, 0xbb, 0xbf);

function countLines(octets: Uint8Array): number {
  let count = 1;
  for (let at = octets.indexOf(newline); at >= 0; at = octets.indexOf(newline, at + 1)) count += 1;
  return count;
}

/** Gives the slots of the first `used` numbers of `rows`, and writes the links from row to row. */
function linkRows(rows: Uint32Array, used: number): Uint32Array<ArrayBuffer> {
  const slots = new Uint32Array(Math.max(1, used / rowLength));
  for (let at = used - rowLength; at >= 0; at -= rowLength) {
    const slot = (rows[at] ?? 0) % slots.length; // from the last row to the first, so that they follow in order
    rows[at + rowLength - 1] = slots[slot] ?? 0;
    slots[slot] = at / rowLength + 1;
  }
  return slots;
}

/** FNV-1a, of 32 bits. The file's logins are the operator's, so nobody can crowd one slot. */
function digestOf(login: string): number {
  let digest = 0x811c9dc5;
  for (let at = 0; at < login.length; at += 1) digest = Math.imul(digest ^ login.charCodeAt(at), 0x01000193);
  return digest >>> 0;
}

const bufferOver = ({ buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

/** Gathers the facts of lines that let somebody in. */
function newFacts() {
  const kinds = new Map<string, string>(); // of each login's lines, joined
  const samples = new Map<string, string>();
  const decoys = newTally<LinePlace>();
  const scram = { sha1: newTally<ScramParameters>(), sha256: newTally<ScramParameters>() } as const;
  let hasCramKeys = false;

  function addKeys(keys: Keys): void {
    hasCramKeys ||= keys.kind === "cram" || keys.kind === "cleartext";
    for (const digest of ["sha1", "sha256"] as const) {
      const parameters = parametersFor(digest, keys);
      if (parameters) scram[digest].add(JSON.stringify(parameters), parameters);
    }
  }

  return {
    add(login: string, { text, stored: { inspection } }: EntryLine, place: LinePlace): void {
      const kind = `${inspection.algorithm} ${inspection.cost}`;
      const before = kinds.get(login);
      kinds.set(login, before === undefined ? kind : `${before}\n${kind}`);
      if (!samples.has(kind)) samples.set(kind, text);
      decoys.add(kind, place);
      if (inspection.keys) addKeys(inspection.keys);
    },
    found(): LoginTableFacts & Pick<LoginTable, "size" | "decoy"> {
      const scramParameters = new Map<ScramDigest, ScramParameters>();
      for (const digest of ["sha1", "sha256"] as const) {
        const parameters = scram[digest].commonest();
        if (parameters) scramParameters.set(digest, parameters);
      }
      const offered: readonly (readonly [Challenge, boolean])[] = [
        ["CRAM-MD5", hasCramKeys],
        ["SCRAM-SHA-1", scramParameters.has("sha1")],
        ["SCRAM-SHA-256", scramParameters.has("sha256")],
      ];
      return {
        size: kinds.size,
        decoy: decoys.commonest(),
        challenges: offered.flatMap(([name, isKnown]) => (isKnown ? [name] : [])),
        scramParameters,
        samples,
        mixes: [...new Set(kinds.values())].map((mix) => mix.split("\n")),
      };
    },
  };
}

function parametersFor(digest: ScramDigest, keys: Keys): ScramParameters | undefined {
  if (keys.kind === "cleartext") return derivedParameters;
  if (keys.kind !== digest) return undefined;
  return { rounds: keys.rounds, octets: keys.salt.length, isDerived: false };
}

/** Counts items by their likeness. */
function newTally<Item>() {
  const counts = new Map<string, { count: number; readonly item: Item }>();
  return {
    add(likeness: string, item: Item): void {
      const alike = counts.get(likeness) ?? { count: 0, item };
      alike.count += 1;
      counts.set(likeness, alike);
    },
    /** The first of the items whose likeness is the most frequent. */
    commonest(): Item | undefined {
      return [...counts.values()].reduce<{ count: number; item?: Item }>(
        (most, one) => (one.count > most.count ? one : most),
        { count: 0 },
      ).item;
    },
  };
}
