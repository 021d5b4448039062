/** `--dump APP`: the options as one command line, whatever source each came from, in the order that swaks has. */
import type { Choice, Choices } from "./choices.ts";
import type { Section } from "./section.ts";
import { type Name, rows } from "./table.ts";

/** Names on one line stand in the order in which they were given. */
const theirs: readonly (readonly Name[])[] = [
  ["config"],
  ["from"],
  ["to"],
  ["cc"],
  ["bcc"],
  ["helo"],
  ["server"],
  ["4"],
  ["6"],
  ["copy-routing"],
  ["port"],
  ["protocol"],
  ["data"],
  ["dump-as-body"],
  ["dump-as-body-shows-password"],
  ["timeout"],
  ["quit-after"],
  ["drop-after"],
  ["drop-after-send"],
  ["suppress-data"],
  ["auth"],
  ["auth-user"],
  ["auth-password"],
  ["auth-map"],
  ["auth-extra"],
  ["auth-hide-password"],
  ["auth-plaintext"],
  ["auth-optional"],
  ["auth-optional-strict"],
  ["local-interface"],
  ["local-port"],
  ["tls"],
  ["tls-optional"],
  ["tls-optional-strict"],
  ["tls-on-connect"],
  ["tls-cert"],
  ["tls-key"],
  ["tls-chain"],
  ["tls-protocol"],
  ["tls-cipher"],
  ["tls-get-peer-cert"],
  ["tls-get-peer-chain"],
  ["tls-sni"],
  ["tls-verify"],
  ["tls-verify-ca"],
  ["tls-verify-host"],
  ["tls-verify-target"],
  ["tls-ca-path"],
  ["silent"],
  ["no-strip-from"],
  ["no-hints"],
  ["no-send-hints"],
  ["no-receive-hints"],
  ["no-info-hints"],
  ["hide-receive"],
  ["hide-send"],
  ["protect-prompt"],
  ["hide-informational"],
  ["hide-all"],
  ["show-time-lapse"],
  ["no-data-fixup"],
  ["show-raw-text"],
  ["output"],
  ["output-file-stdout"],
  ["output-file-stderr"],
  ["socket"],
  ["pipe"],
  ["body"],
  ["attach", "attach-body", "attach-type", "attach-name"],
  ["add-header", "header"],
  ["dump"],
  ["dump-mail"],
  ["pipeline"],
  ["prdr"],
  ["force-getpwuid"],
  [
    "xclient-name",
    "xclient-addr",
    "xclient-port",
    "xclient-proto",
    "xclient-destaddr",
    "xclient-destport",
    "xclient-helo",
    "xclient-login",
    "xclient-reverse-name",
    "xclient-delim",
    "xclient",
  ],
  ["xclient-optional"],
  ["xclient-optional-strict"],
  ["xclient-before-starttls"],
  ["xclient-no-verify"],
  ["proxy-version"],
  ["proxy-family"],
  ["proxy-command"],
  ["proxy-protocol"],
  ["proxy-source"],
  ["proxy-source-port"],
  ["proxy-dest"],
  ["proxy-dest-port"],
  ["proxy"],
];

const placed = new Set<string>(theirs.flat());

/** swaks' order, then what it does not know. */
const order: readonly (readonly string[])[] = [
  ...theirs,
  ...rows.filter(({ name }) => !placed.has(name)).map(({ name }) => [name]),
];

/** How the program was called, where it stands on no command line that it could look at. */
export interface Called {
  /** "tpa-submit probe", or the path of swaks' place-holder. */
  readonly program: string;
  /** The X-Mailer of test messages. */
  readonly mailer: string;
}

/** `words` stands in place of the password. */
export function appSection(choices: Choices, { program, mailer }: Called, words?: string): Section {
  const sorted = order.flatMap((names) => choices.all.filter(({ name }) => names.includes(name)));
  return {
    title: "App Info",
    lines: [
      ["X-Mailer", mailer],
      ["Cmd Line", [program, ...sorted.map((choice) => printed(choice, words))].join(" ")],
    ],
  };
}

function printed({ name, value }: Choice, words: string | undefined): string {
  if (value === undefined || value === "") return `--${name}`;
  const shown = name === "auth-password" ? (words ?? value) : value;
  return `--${name} '${shown.replaceAll("'", "'\\''")}'`;
}
