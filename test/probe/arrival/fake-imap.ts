/** As much of an IMAP server as a look into one folder needs, and its faults. UIDs are a hundred more than numbers. */
import type { TLSSocket } from "node:tls";

export type Searching =
  | "well"
  | "NO for a field"
  | "BAD for a field"
  | "nothing for an unusual field"
  | "NO"
  | "BAD"
  /** Nor does it let anything be fetched. */
  | "nothing at all"
  /** It searches, and what is fetched comes without its header. */
  | "no headers";

export function fakeMailbox(socket: TLSSocket, messages: readonly string[], searching: Searching): void {
  const say = (...lines: readonly string[]): boolean =>
    socket.write(lines.map((line) => `${line}\r\n`).join(""));
  say("* OK [CAPABILITY IMAP4rev1] ready");
  let rest = "";
  socket.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\r\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const [, tag = "", command = "", words = ""] = /^(\S+) ((?:UID )?\S+) ?(.*)$/.exec(line) ?? [];
      answer(tag, command.toUpperCase(), words);
    }
  });

  function answer(tag: string, command: string, words: string): boolean {
    switch (command) {
      case "CAPABILITY":
        return say("* CAPABILITY IMAP4rev1", `${tag} OK done`);
      case "LIST":
      case "LSUB":
        return say(`* ${command} () "/" INBOX`, `${tag} OK done`);
      case "SELECT":
      case "EXAMINE":
        return say(
          `* ${messages.length} EXISTS`,
          "* FLAGS (\\Seen)",
          "* OK [UIDVALIDITY 1] the same",
          `* OK [UIDNEXT ${messages.length + 101}] next`,
          `${tag} OK [READ-ONLY] done`,
        );
      case "UID SEARCH":
        return search(tag, words);
      case "UID FETCH":
      case "FETCH":
        return fetched(tag, words, command === "UID FETCH" ? 100 : 0);
      default:
        return say(`${tag} OK done`);
    }
  }

  function search(tag: string, words: string): boolean {
    const [, field = ""] = /HEADER "?([\w-]+)"?/i.exec(words) ?? [];
    const [refusal] = /^(?:NO|BAD)\b/.exec(searching) ?? (searching === "nothing at all" ? ["NO"] : []);
    if (refusal !== undefined && (field !== "" || !searching.endsWith("for a field")))
      return say(`${tag} ${refusal} search is not for you`);
    const [, from = "1", to = "*"] = /UID (\d+):(\d+|\*)/i.exec(words) ?? [];
    const found = [...messages.keys()].filter((at) => {
      const uid = at + 101;
      const isLast = at === messages.length - 1;
      const inRange = to === "*" ? uid >= Number(from) || isLast : uid >= Number(from) && uid <= Number(to);
      const hidden = searching === "nothing for an unusual field" && /^x-/i.test(field);
      const header = messages[at]?.toLowerCase() ?? "";
      return inRange && !hidden && (field === "" || header.includes(`${field.toLowerCase()}:`));
    });
    return say(`* SEARCH${found.map((at) => ` ${at + 101}`).join("")}`, `${tag} OK done`);
  }

  function fetched(tag: string, words: string, offset: number): boolean {
    if (searching === "nothing at all") return say(`${tag} NO not today`);
    const [set = "", ...items] = words.split(" ");
    const wanted = items.join(" ");
    const [, section = ""] = /BODY\.PEEK(\[[^\]]*\](?:<0)?)/i.exec(wanted) ?? [];
    for (const range of set.split(",")) {
      const [from = 0, to = from] = range.split(":").map((number) => Number(number) - offset - 1);
      for (let at = from; at <= to; at += 1) {
        const text = messages[at];
        if (text === undefined) continue;
        const body =
          section === "" || (searching === "no headers" && section.includes("HEADER"))
            ? ""
            : ` BODY${section.replace("<0", "<0>")} {${text.length}}\r\n${text}`;
        const date = `"${now()} +0000"`;
        say(`* ${at + 1} FETCH (UID ${at + 101} RFC822.SIZE ${text.length} INTERNALDATE ${date}${body})`);
      }
    }
    return say(`${tag} OK done`);
  }
}

/** The moment as IMAP writes it, in UTC. */
function now(): string {
  const [, day = "", month = "", year = "", time = ""] =
    /, (\d\d) (\w{3}) (\d{4}) ([\d:]{8})/.exec(new Date().toUTCString()) ?? [];
  return `${day}-${month}-${year} ${time}`;
}
