/**
 * What an option of the probe is. Each group of options is one file: its rows, how they are read into the plan, and
 * how --dump shows them. Parser, help, completions and tests come from the rows.
 */

/**
 * What may stand behind an option.
 * none: nothing. optional: a word that does not begin with a dash. number: a whole number.
 * wanted: as optional, but where it is left out it is prompted for, or a mistake.
 * required: the next word, whatever it looks like.
 */
export type OptionArgument = "none" | "optional" | "number" | "wanted" | "required";

export interface OptionPrompt {
  readonly text: string;
  /** Asked again until an answer fits; absent: an empty answer stands for the default. */
  readonly pattern?: RegExp;
}

export interface OptionRow {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly argument: OptionArgument;
  /** The help's name for the argument; several are told apart by "|". */
  readonly placeholder?: string;
  readonly prompt?: OptionPrompt;
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

export interface OptionGroup {
  /** Its heading in the help and in the manual. */
  readonly title: string;
  readonly rows: readonly OptionRow[];
}

/** One option that counts, in the order in which it was given. */
export interface OptionChoice {
  readonly row: OptionRow;
  readonly value?: string;
  /** It stands on the command line, where ps shows it. */
  readonly visible: boolean;
}

/** What was chosen, all sources together, later ones over earlier ones; nothing is read or asked for yet. */
export interface OptionChoices {
  /** All that count, in the order given: one of each name, but for lists. */
  readonly all: readonly OptionChoice[];
  /** The last choice of this name. */
  readonly get: (name: string) => OptionChoice | undefined;
  readonly has: (name: string) => boolean;
}

/** One section of --dump: a title, then names and values, as swaks prints them. */
export interface DumpSection {
  readonly title: string;
  /** A value of several lines is a list. */
  readonly lines: readonly (readonly [name: string, value: string | readonly string[]])[];
  /** The equal signs stand as if there were a name as long as this one. */
  readonly width?: number;
}

/** How --dump writes what is on or off. */
export const flag = (value: boolean): string => (value ? "TRUE" : "FALSE");

/** How --dump writes a need. */
export const needWords = { required: "required", optional: "optional", strict: "optional-strict" } as const;
