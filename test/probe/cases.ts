/**
 * Runs of the probe as data. A file in cases/ holds several, each under a line `== What it shows`:
 *
 *     $ -n --quit-after rcpt       the options; blanks part them, "…" and '…' keep them together. In front of them stand
 *                                  -s, -p, --helo client.example.org and -f alice@example.org, unless it is `$$`
 *     in: line                     what stands on standard input
 *     S: 220 fake.example.net      what the server says; {base64 …} and {300*x} are filled in
 *     S-bytes: "a\u0000b\r\n"      the same octet by octet, as a JSON string
 *     C: EHLO *                    a line that it must be told; * is anything
 *     C-message                    lines up to a dot
 *     C-octets: 28                 so many octets
 *     tls                          the handshake
 *     close, silent, again         hangs up; says nothing more; waits for another connection
 *     > === Trying …               a line on standard output; `> ...` at the end: any more of them
 *     ! *** …                      a line on standard error
 *     status 23                    0 where it does not say
 *     unlike swaks: why            swaks does something else (docs/probe-compatibility.md): it is not compared
 *
 * {port}, {folder} and {socket} (instead of the port) stand for what differs from run to run; dates, identifiers and times are masked.
 */

export type Act =
  | { readonly kind: "say"; readonly octets: Buffer }
  | { readonly kind: "hear"; readonly pattern: string }
  | { readonly kind: "octets"; readonly count: number }
  | { readonly kind: "message" | "tls" | "close" | "silent" | "again" };

export interface Case {
  readonly title: string;
  readonly words: readonly string[];
  readonly input: string;
  readonly acts: readonly Act[];
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
  readonly status: number;
  /** Why swaks does something else; absent where it does the same. */
  readonly unlike: string | undefined;
}

const front = ["-s", "127.0.0.1", "-p", "{port}", "--helo", "client.example.org", "-f", "alice@example.org"];

export function parseCases(text: string): readonly Case[] {
  return text.split(/^== /m).slice(1).map(parseCase);
}

function parseCase(text: string): Case {
  const [title = "", ...lines] = text.split("\n");
  const valuesOf = (key: string): readonly string[] =>
    lines
      .filter((line) => line === key.trimEnd() || line.startsWith(key))
      .map((line) => line.slice(key.length));
  const bare = valuesOf("$$ ")[0];
  const typed = wordsIn(bare ?? valuesOf("$ ")[0] ?? "");
  return {
    title,
    words: bare === undefined ? [...front, ...typed] : typed,
    input: valuesOf("in: ")
      .map((line) => `${line}\n`)
      .join(""),
    acts: lines.map(actIn).filter((act) => act !== undefined),
    stdout: valuesOf("> "),
    stderr: valuesOf("! "),
    status: Number(valuesOf("status ")[0] ?? 0),
    unlike: valuesOf("unlike swaks: ")[0],
  };
}

/** As a shell parts them, without its other arts. */
export function wordsIn(line: string): readonly string[] {
  const words = line.match(/(?:[^\s"']|"[^"]*"|'[^']*')+/g) ?? [];
  return words.map((word) => word.replace(/"([^"]*)"|'([^']*)'/g, "$1$2"));
}

function actIn(line: string): Act | undefined {
  const [, key = "", value = ""] =
    /^(S|S-bytes|C|C-octets|C-message|tls|close|silent|again)(?:: (.*))?$/.exec(line) ?? [];
  switch (key) {
    case "":
      return undefined;
    case "S":
      return { kind: "say", octets: Buffer.from(`${filled(value)}\r\n`) };
    case "S-bytes":
      return { kind: "say", octets: Buffer.from(String(JSON.parse(value)), "latin1") };
    case "C":
      return { kind: "hear", pattern: filled(value) };
    case "C-octets":
      return { kind: "octets", count: Number(value) };
    case "C-message":
      return { kind: "message" };
    default:
      return { kind: key as "tls" | "close" | "silent" | "again" };
  }
}

const filled = (text: string): string =>
  text
    .replace(/\{base64 ([^}]*)\}/g, (_, plain: string) => Buffer.from(plain).toString("base64"))
    .replace(/\{(\d+)\*(.)\}/g, (_, times: string, character: string) => character.repeat(Number(times)));

/** What differs from run to run, taken out: dates, identifiers, versions, times. */
export function masked(text: string, places: Readonly<Record<string, string>>): string {
  let bare = text.replace(/\r$/gm, "");
  for (const [name, value] of Object.entries(places)) bare = bare.replaceAll(value, `{${name}}`);
  return bare
    .replace(/\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}/g, "DATE")
    .replace(/\d{14}\.\d{6}@[\w.-]+/g, "ID")
    .replace(/X-Mailer: swaks v[\d.]+/g, "X-Mailer: swaks vN")
    .replace(/notAfter=\[[^\]]*\]/g, "notAfter=[DATE]")
    .replace(/"milliseconds": [\d.]+/g, '"milliseconds": N')
    .replace(
      /[\0-\x08\x0b-\x1f\x7f]/g,
      (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`,
    )
    .replace(/response in \d+\.\d{3}s/g, "response in FRACTION")
    .replace(/response in \d+s/g, "response in WHOLE")
    .replace(/Temporary failure in name resolution|Name or service not known/g, "NO ADDRESS") // the first offline
    .replace(/AUTH SCRAM-SHA-256 biws\S+|cj13\S+/g, "AUTH SCRAM-SHA-256 NONCE")
    .replace(/MIME_BOUNDARY_\d+_\d+/g, "MIME_BOUNDARY");
}
