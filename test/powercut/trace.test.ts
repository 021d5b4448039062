import { describe, expect, it } from "vitest";
import { memoryDisk } from "../server/spool/memory-disk.ts";
import { chanceFrom } from "../torture/chance.ts";
import { along, doingsOf, imageOf, selections } from "./image.ts";
import { settled } from "./killed.ts";
import { descriptorIn, octetsIn, readTrace } from "./trace.ts";

const all = (): boolean => true;

describe("a trace", () => {
  it("gives each call its place, its arguments and its result", () => {
    const { calls, end } = readTrace(
      [
        '7 1700000000.000001 openat(AT_FDCWD</srv>, "/srv/a, (b)", O_RDWR|O_CREAT, 0600) = 3</srv/a>',
        "7 1700000000.000002 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED} ---",
        "8 1700000000.000003 fdatasync(3</srv/a> <unfinished ...>",
        '7 1700000000.000004 pwritev(3</srv/a>, [{iov_base="x\\"", iov_len=2}, {iov_base="]", iov_len=1}], 2, 512) = 3',
        "8 1700000000.000005 <... fdatasync resumed>) = -1 EIO (Input/output error)",
        '8 1700000000.000006 write(4<TCP:[127.0.0.1:25->127.0.0.1:4000]>, "a", 1 <unfinished ...>',
        "8 1700000000.000007 +++ killed by SIGKILL +++",
      ].join("\n"),
      all,
      10,
    );
    expect(end).toBe(17);
    expect(calls.map(({ name, begun, ended, result, pid }) => [name, begun, ended, result, pid])).toEqual([
      ["openat", 11, 11, 3, 7],
      ["fdatasync", 13, 15, -1, 8],
      ["pwritev", 14, 14, 3, 7],
      ["write", 16, undefined, undefined, 8],
    ]);
    expect(calls[0]?.words[1]).toBe('"/srv/a, (b)"');
    expect(calls[0]?.at).toBe(1_700_000_000_000_001);
    expect(octetsIn(calls[2]?.words[1] ?? "").toString()).toBe('x"]');
    expect(calls[2]?.words[3]).toBe("512");
    expect(descriptorIn(calls[3]?.words[0])?.of).toBe("TCP:[127.0.0.1:25->127.0.0.1:4000]");
  });

  it("gives octets as they were written, and none where strace left some out", () => {
    expect(octetsIn('"\\0\\1a\\0011\\r\\n\\\\\\"\\377"')).toEqual(
      Buffer.from([0, 1, 97, 1, 49, 13, 10, 92, 34, 255]),
    );
    expect(() => octetsIn('"abc"..., 5000')).toThrow("left out");
  });
});

describe("a call that a kill cut off", () => {
  const left = new Map([
    ["/srv/a", Buffer.from("one tw")],
    ["/srv/b", undefined],
  ]);
  it.each([
    ['unlink("/srv/gone" <unfinished ...>', 0],
    ['unlink("/srv/a" <unfinished ...>', undefined],
    ['rename("/srv/gone", "/srv/a" <unfinished ...>', 0],
    ['rename("/srv/a", "/srv/c" <unfinished ...>', undefined],
    ['mkdir("/srv/b", 0700 <unfinished ...>', 0],
    ['pwrite64(3</srv/a>, "one", 3, 0 <unfinished ...>', 3],
    ['pwrite64(3</srv/a>, "two", 3, 4 <unfinished ...>', 2],
    ['pwrite64(3</srv/a>, "three", 5, 6 <unfinished ...>', undefined],
    ['write(3</srv/a>, "one", 3 <unfinished ...>', 3],
    ["fsync(3</srv/a> <unfinished ...>", undefined],
  ])("%s is done so far as the files tell", (text, result) => {
    const [call] = readTrace(`7 1700000000.000001 ${text}`, all).calls;
    const found = call && settled(call, left, 9);
    expect(found?.result).toBe(result);
    expect(found?.ended).toBe(result === undefined ? undefined : 9);
  });
});

const file = (line: number, call: string): string => `7 1700000000.${String(line).padStart(6, "0")} ${call}`;

/** A file that is made, written twice, and made durable between; then it is renamed. */
const trace = [
  'mkdir("/srv/disk/spool", 0700) = 0',
  'openat(AT_FDCWD</>, "/srv/disk/spool/a", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600) = 3</srv/disk/spool/a>',
  'write(3</srv/disk/spool/a>, "one", 3) = 3',
  "fsync(3</srv/disk/spool/a>) = 0",
  'write(3</srv/disk/spool/a>, "two", 3) = 3',
  'openat(AT_FDCWD</>, "/srv/disk/spool", O_RDONLY|O_CLOEXEC) = 4</srv/disk/spool>',
  "fsync(4</srv/disk/spool>) = 0",
  'openat(AT_FDCWD</>, "/srv/disk", O_RDONLY|O_CLOEXEC) = 5</srv/disk>',
  "fsync(5</srv/disk>) = 0",
  'rename("/srv/disk/spool/a", "/srv/disk/spool/b") = 0',
].map((call, line) => file(line, call));

/** The disks that may be left before the line of that number, from 1. */
function disksAt(place: number, most = 60): ReadonlySet<string> {
  const doings = doingsOf(readTrace(trace.join("\n"), all).calls, "/srv/disk");
  const [uncertain] = [...along(doings, [place])];
  if (uncertain === undefined) return new Set();
  const move = (path: string): string => path.replace("/srv/disk", "/srv");
  return new Set(
    selections(uncertain, chanceFrom(1), most).map((selection) =>
      JSON.stringify([...memoryDisk(imageOf(uncertain, selection, move)).files()]),
    ),
  );
}

const files = (...content: readonly (readonly [string, string?])[]): string =>
  JSON.stringify(
    [["/srv"], ["/srv/spool"], ...content].map(([path, text]) =>
      text === undefined ? [path, null] : [path, text],
    ),
  );

describe("the disks after a power cut", () => {
  it("have what was made durable, and any part of the rest", () => {
    const after = disksAt(10);
    expect(after).toContain(files(["/srv/spool/a", "one"]));
    expect(after).toContain(files(["/srv/spool/a", "onetwo"]));
    expect([...after].every((disk) => disk.includes('"one'))).toBe(true);
    expect([...after].some((disk) => disk.includes("\\u0000"))).toBe(true); // a length that came without its octets
    expect([...after].every((disk) => disk.includes('["/srv/spool",'))).toBe(true);
  });

  it("have a renamed file under one name, under both, or under none", () => {
    const names = new Set(
      [...disksAt(11)].map((disk) =>
        (disk.match(/spool\/[ab]/g) ?? []).map((name) => name.slice(-1)).join(""),
      ),
    );
    expect([...names].sort()).toEqual(["", "a", "ab", "b"]);
  });

  it("may have nothing before the first sync", () => {
    expect(disksAt(4)).toContain('[["/srv",null]]');
    expect(disksAt(4)).toContain(files(["/srv/spool/a", "one"]));
  });

  it("know which file a number was, while another is being opened", () => {
    const mixed = [
      ...trace.slice(0, 2),
      '8 1700000000.000010 openat(AT_FDCWD</>, "/srv/disk/spool/c", O_WRONLY|O_CREAT, 0600 <unfinished ...>',
      file(11, 'write(3</srv/disk/spool/a>, "one", 3) = 3'),
      "8 1700000000.000012 <... openat resumed>) = 3</srv/disk/spool/c>",
      file(13, 'write(3</srv/disk/spool/c>, "two", 3) = 3'),
    ].join("\n");
    const { contents } = doingsOf(readTrace(mixed, all).calls, "/srv/disk");
    const written = contents.flatMap((one) =>
      "octets" in one ? [`${String(one.inode)} ${String(one.octets)}`] : [],
    );
    expect(written).toEqual(["2 one", "3 two"]);
  });

  it("are not made up where a call is unknown", () => {
    const strange = [...trace, file(99, "fallocate(3</srv/disk/spool/b>, 0, 0, 4096) = 0")].join("\n");
    expect(() => doingsOf(readTrace(strange, all).calls, "/srv/disk")).toThrow("fallocate");
  });
});
