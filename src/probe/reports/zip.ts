/**
 * The members of a ZIP archive, by its central directory. No name in it is used for anything: nothing is written. What
 * receivers do not make is refused: encryption, 64-bit sizes, several disks, many members, names that lead elsewhere.
 */
import { Unreadable } from "./report.ts";

export interface ZipMember {
  /** As it lies in the archive. */
  readonly octets: Buffer;
  readonly isDeflated: boolean;
}

/** Real archives have one. Our choice. */
const mostMembers = 8;

/** By the numbers of APPNOTE.TXT 4.3.16, 4.3.12 and 4.3.7: signatures and the lengths of what stands behind them. */
const endRecord = { signature: 0x06_05_4b_50, length: 22, longestComment: 65_535 };
const directoryRecord = { signature: 0x02_01_4b_50, length: 46 };
const memberRecord = { signature: 0x04_03_4b_50, length: 30 };

const deflated = 8;

/** Throws Unreadable. */
export function membersOf(archive: Buffer): readonly ZipMember[] {
  const end = endOf(archive);
  const count = archive.readUInt16LE(end + 10);
  const isSplit = archive.readUInt16LE(end + 4) !== 0 || archive.readUInt16LE(end + 8) !== count;
  if (isSplit) throw new Unreadable("the archive is one of several");
  if (count > mostMembers) throw new Unreadable(`the archive has more than ${mostMembers} members`);
  let at = archive.readUInt32LE(end + 16);
  return Array.from({ length: count }, () => {
    if (at + directoryRecord.length > end || archive.readUInt32LE(at) !== directoryRecord.signature)
      throw new Unreadable("the archive is damaged");
    const { length, member } = entryAt(archive, at);
    at += length;
    return member;
  });
}

function endOf(archive: Buffer): number {
  const least = Math.max(0, archive.length - endRecord.length - endRecord.longestComment);
  for (let at = archive.length - endRecord.length; at >= least; at--)
    if (archive.readUInt32LE(at) === endRecord.signature) return at;
  throw new Unreadable("the archive breaks off");
}

/** The entry of the directory at `at`, with its own length. */
function entryAt(archive: Buffer, at: number): { readonly length: number; readonly member: ZipMember } {
  const flags = archive.readUInt16LE(at + 8);
  const method = archive.readUInt16LE(at + 10);
  const size = archive.readUInt32LE(at + 20);
  const nameLength = archive.readUInt16LE(at + 28);
  const extraLength = archive.readUInt16LE(at + 30);
  const commentLength = archive.readUInt16LE(at + 32);
  const start = archive.readUInt32LE(at + 42);
  const name = archive.toString(
    "latin1",
    at + directoryRecord.length,
    at + directoryRecord.length + nameLength,
  );
  if ((flags & 1) !== 0) throw new Unreadable("the archive is encrypted");
  if (method !== 0 && method !== deflated) throw new Unreadable("the archive is packed in an unusual way");
  if (/^[/\\]|^[a-z]:|\0|\.\./i.test(name)) throw new Unreadable("a name in the archive leads elsewhere");
  const isThere =
    start + memberRecord.length <= archive.length && archive.readUInt32LE(start) === memberRecord.signature;
  if (!isThere) throw new Unreadable("the archive is damaged");
  // The member repeats name and extra field, with lengths of its own.
  const from =
    start + memberRecord.length + archive.readUInt16LE(start + 26) + archive.readUInt16LE(start + 28);
  if (from + size > archive.length) throw new Unreadable("the archive breaks off");
  return {
    length: directoryRecord.length + nameLength + extraLength + commentLength,
    member: { octets: archive.subarray(from, from + size), isDeflated: method === deflated },
  };
}
