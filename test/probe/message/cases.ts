/** Command lines about the message, and the draft that they mean: for comparing octets with the real swaks. */

import type { Attachment, MessageDraft } from "../../../src/probe/message.ts";

const octets = (text: string): Buffer => Buffer.from(text);

/** What each option does to a draft; only those of the message, without files. */
const meaning: Readonly<Record<string, (draft: MessageDraft, value: string) => Partial<MessageDraft>>> = {
  "--to": (_, to) => ({ to }),
  "--from": (_, from) => ({ from: from === "<>" ? "" : from }),
  "--data": (_, value) => ({ template: octets(value) }),
  "--body": (_, value) => ({ body: octets(value) }),
  "--attach": (draft, value) => attached(draft, { kind: "part", octets: octets(value) }),
  "--attach-body": (draft, value) => attached(draft, { kind: "body", octets: octets(value) }),
  "--attach-type": (draft, type) => attached(draft, { kind: "type", type }),
  "--attach-name": (draft, name) => attached(draft, { kind: "name", name }),
  "--add-header": (draft, line) => ({ added: [...draft.added, line] }),
  "--header": (draft, line) => ({ replaced: [...draft.replaced, line] }),
  "--no-strip-from": () => ({ stripFrom: false }),
  "--no-data-fixup": () => ({ fixup: false }),
};

const attached = (draft: MessageDraft, one: Attachment): Partial<MessageDraft> => ({
  attachments: [...draft.attachments, one],
});

const withoutValue = new Set(["--no-strip-from", "--no-data-fixup"]);

export const sender = ["--from", "me@client.example.org", "--to", "a@example.org,b@example.org"];

export function draftOf(words: readonly string[]): MessageDraft {
  let draft: MessageDraft = {
    attachments: [],
    added: [],
    replaced: [],
    fixup: true,
    stripFrom: true,
    from: "",
    to: "",
    cc: "",
    bcc: "",
  };
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? "";
    const value = withoutValue.has(word) ? "" : (words[++index] ?? "");
    draft = { ...draft, ...meaning[word]?.(draft, value) };
  }
  return draft;
}

/** The same octets as swaks' are expected of these. */
export const alike: readonly (readonly string[])[] = [
  [],
  ["--body", "one line"],
  ["--body", "a line end\n"],
  ["--body", "two\n\nparagraphs\n\n"],
  ["--body", "typed\\nends and%NEWLINE%ends..NEWLINE..as tokens"],
  ["--body", "%TO_ADDRESS% ..FROM_ADDRESS.. %BODY% %NEW_HEADERS% %to_address% %FOO%"],
  ["--body", ".\n..\n...\n.a\n"],
  ["--body", "caf\u00e9"],
  ["--add-header", "X-One: 1", "--add-header", "X-Two: 2\\nX-Three: 3"],
  ["--header", "Subject: mine"],
  ["--header", "Subject: first", "--header", "Subject: second"],
  ["--header", "X-New: first", "--header", "X-New: second"],
  ["--header", "X-New: 1", "--add-header", "X-Added: 2"],
  ["--header", "To:without a blank"],
  ["--header", "no field", "--header", "From : blank before the colon"],
  ["--header", "Subject: mine\\nX-Other: 1"],
  ["--header", "Subject: mine%NEWLINE%X-Other: 1"],
  ["--data", "Subject: foo%NEWLINE%%NEWLINE%body\\n"],
  ["--data", "Ab: 1%NEWLINE%%NEWLINE%body%NEWLINE%.%NEWLINE%x\\n", "--add-header", "X: Y%NEWLINE%Z: Q"],
  ["--header", "New Header: 1", "--data", "New Header: 2\\n\\nx"],
  ["--no-data-fixup"],
  ["--header", "X-From: %FROM_ADDRESS%"],
  ["--header", "X-Latin: caf\u00e9"],
  ["--data", "Ab: 1\\nTo: x\\n y\\n\\n.hi\\n%BODY%\\n.\\n", "--body", "text", "--header", "To: z"],
  ["--data", "From me at noon\\nAb: b\\n\\ntext\\n."],
  ["--data", "From me at noon\\nAb: b\\n\\ntext\\n.\\n.\\n", "--no-strip-from"],
  ["--data", "From me at noon\\n"],
  ["--data", "From me at noon\\n\\nfoo"],
  ["--data", "From: me\\n\\nFrom you\\n"],
  ["--data", "A: b\nB: c\r\n\r\nx\n\rfoo\r\n"],
  ["--data", "no header at\\nall"],
  ["--data", "\\nbegins with an end", "--add-header", "X-New: 1", "--header", "X-Newer: 2"],
  ["--data", "\\n"],
  ["--data", "\\n\\n"],
  ["--data", "\\n\\n.\\n"],
  ["--data", "Ab: b\\n"],
  ["--data", "Ab: b\\n\\n"],
  ["--data", "Ab: b\\n\\n."],
  ["--data", "Ab: b\\n\\nx\\n.\\n"],
  ["--data", "Ab: b\\n\\nx\\n.\\n\\n"],
  ["--data", "Ab: b\\n\\nx\\n.\\n.\\n..\\n..."],
  ["--data", "Ab: b\\n\\nx\r.\r\\n"],
  ["--data", "Ab: b\\\\nback\\tslashes\\\\\\\\nx"],
  ["--data", "Ab: 1\\nAb: 2\\n 3\\n\\nAb: 4", "--header", "Ab: 5"],
  ["--data", "Ab : 1\\nBc: 2\\n\\n", "--header", "Ab: 3", "--header", "Bc: 4"],
  ["--data", "Ab: b\\n%NEW_HEADERS%\\nBc: c\\n\\n%NEW_HEADERS%\\nx", "--add-header", "X-New: 1"],
  ["--data", "Ab: b\\n%NEW_HEADERS%\\nBc: c\\n\\nx"],
  ["--data", "Ab: b\\nX%NEW_HEADERS%Y\\nBc: c\\n\\nx", "--add-header", "C: b"],
  ["--data", "Ab: b\\n..NEW_HEADERS..\\n\\n..BODY..%BODY%", "--add-header", "C: b"],
  ["--data", "Ab: b\\n%BODY%", "--add-header", "Cd: b\\nDe: f"],
  ["--data", "Ab: %FROM_ADDRESS%\\n\\n", "--from", "<>"],
  ["--data", "Ab: b\\n\\n%DATE% ..DATE.. %MESSAGEID% %SWAKS_VERSION%"],
  ["--data", "x\\n.\\n.\\n%BODY%", "--no-data-fixup", "--body", "q", "--add-header", "X: 1"],
  ["--data", "x\n.\ny\n", "--no-data-fixup"],
  ["--attach", "foo"],
  ["--attach", "foo", "--body", "to %TO_ADDRESS%\\nsecond"],
  ["--attach", "x".repeat(200), "--attach-type", "image/png", "--attach-name", "x.png", "--attach", "y"],
  ["--attach-type", "text/plain", "--attach", "a\r\nb", "--attach", "c\n", "--attach", "%TO_ADDRESS%\\n.\n"],
  ["--attach-type", "TEXT/plain", "--attach", "x"],
  ["--attach-type", "text/plain; charset=utf-8", "--attach", "x", "--attach-body", "y"],
  ["--attach-type", "text/plain", "--attach-name", "f", "--attach", "x"],
  ["--attach-name", 'a"b', "--attach", "x", "--attach", "y"],
  ["--attach-name", "caf\u00e9", "--attach", "x"],
  ["--attach-name", "to %TO_ADDRESS%", "--attach", "x"],
  ["--attach-body", "only"],
  ["--attach-type", "text/html", "--attach-body", "<b>", "--attach", "z", "--attach", "y"],
  ["--attach-body", "plain", "--attach-type", "text/html", "--attach-body", "<b>", "--attach", "z"],
  [
    "--attach-type",
    "text/html",
    "--body",
    "x",
    "--attach-body",
    "y",
    "--attach",
    "z",
    "--attach-type",
    "image/png",
  ],
  [
    "--attach",
    "x",
    "--attach-type",
    "text/html",
    "--attach-body",
    "y",
    "--attach",
    "z",
    "--attach-body",
    "w",
  ],
  ["--attach-type", "image/png", "--attach-body", "x", "--attach", "z"],
  ["--attach-type", "text/html", "--attach-body", "y", "--attach-body", "w"],
  [
    "--attach-type",
    "text/html",
    "--attach-body",
    "y",
    "--attach-body",
    "w",
    "--attach",
    "z",
    "--attach-body",
    "v",
  ],
  ["--attach-type", "text/html", "--attach", "y", "--attach-body", "w", "--attach", "z", "--attach", "v"],
  ["--attach-name", "n", "--attach-type", "a/b", "--attach", "x", "--attach-name", "m", "--attach", "y"],
  ["--attach-type", "a/b", "--attach-body", "x", "--attach-type", "c/d", "--attach", "y", "--attach", "z"],
  ["--attach-name", "n", "--attach-type", "text/html", "--attach-body", "x", "--attach", "y"],
  ["--attach-name", "n", "--body", "x", "--attach", "y"],
  ["--attach-type", "text/html"],
  ["--attach-name", "n"],
  ["--attach", "x", "--data", "Ab: b\\n\\nno token"],
  ["--attach", "x", "--data", "Ab: b\\n\\n%BODY%"],
  ["--attach", "x", "--data", "%BODY%\\nbehind ..BODY.."],
  ["--attach", "x", "--header", "Content-Type: text/x-mine"],
];
