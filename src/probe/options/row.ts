/** What an option of the probe is: one row of the table from which parser, help, completions and tests come. */

/** The groups in the order in which the help shows them. */
export const groups = {
  transport: "Where to connect",
  protocol: "What to say",
  tls: "TLS",
  auth: "Authentication",
  data: "The message",
  xclient: "XCLIENT",
  proxy: "PROXY protocol",
  arrival: "Arrival",
  output: "Output",
  sources: "Where options come from",
} as const;

export type Group = keyof typeof groups;

/**
 * What may stand behind an option.
 * none: nothing. optional: a word that does not begin with a dash. number: a whole number.
 * wanted: as optional, but when it is left out it is prompted for, or missing in the end.
 * required: the next word, whatever it looks like.
 */
export type Argument = "none" | "optional" | "number" | "wanted" | "required";

export interface Prompt {
  readonly text: string;
  /** Asked again until an answer fits; absent: an empty answer stands for the default. */
  readonly pattern?: RegExp;
}

export interface Row {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly group: Group;
  readonly argument: Argument;
  /** How the help calls the argument; several are told apart by "|". */
  readonly placeholder?: string;
  readonly prompt?: Prompt;
  /** What is typed at the prompt is a secret. */
  readonly sensitive?: true;
  /** "-" is standard input, "@FILE" a file, "@@" a literal "@". */
  readonly file?: true;
  /** Every one of them counts, not the last alone. */
  readonly list?: true;
  /** The default as the help shows it. */
  readonly standard?: string;
  readonly help: string;
  /** Behind "tpa-submit probe". */
  readonly example: string;
  /** Not in swaks: found only where no name of swaks fits. */
  readonly ours?: true;
}
