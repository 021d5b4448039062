/**
 * What a filter and we agree on before anything else: the version, what it may change, which steps it wants to hear of and
 * which of them it answers, and the macros that it asks for. And the steps themselves, a row each.
 */
import { encodeFrame, encodeNumbers, FrameFields, type MilterFrame, MilterTrouble } from "./frames.ts";

/** The version that we speak, and the oldest that we understand: since 2 nothing that was there has changed. */
const newest = 6;
const oldest = 2;

/** What a filter may do at the end of the message. */
export const milterActions = {
  "add headers": 0x1,
  "replace the body": 0x2,
  "add recipients": 0x4,
  "delete recipients": 0x8,
  "change headers": 0x10,
  "hold messages": 0x20,
  "change the sender": 0x40,
  "add recipients with parameters": 0x80,
  "choose macros": 0x100,
} as const;

export type MilterAction = keyof typeof milterActions;

interface StepRow {
  readonly command: string;
  /** The bit by which a filter does not want to hear of it; 0 for none. */
  readonly unwanted: number;
  /** The bit by which it does not answer. */
  readonly unanswered: number;
  /** The number under which it asks for macros; none where there are no macros. */
  readonly macros?: number;
  /** The first version that has it. */
  readonly since?: number;
}

const row = (
  command: string,
  unwanted: number,
  unanswered: number,
  macros?: number,
  since?: number,
): StepRow => ({
  command,
  unwanted,
  unanswered,
  ...(macros !== undefined && { macros }),
  ...(since !== undefined && { since }),
});

/** In the order of a message. */
export const milterSteps = {
  connect: row("C", 0x1, 0x1000, 0),
  helo: row("H", 0x2, 0x2000, 1),
  mail: row("M", 0x4, 0x4000, 2),
  rcpt: row("R", 0x8, 0x8000, 3),
  data: row("T", 0x200, 0x10000, 4, 4),
  header: row("L", 0x20, 0x80),
  "end of header": row("N", 0x40, 0x40000, 6),
  body: row("B", 0x10, 0x80000),
  end: row("E", 0, 0, 5),
} as const satisfies Readonly<Record<string, StepRow>>;

export type MilterStep = keyof typeof milterSteps;

/**
 * Bits that belong to no step of ours: commands that SMTP does not know, wanted and answered; "skip" as an answer; refused
 * recipients; the blank behind the colon of a field.
 */
const otherSteps = {
  unknown: 0x100,
  unknownUnanswered: 0x20000,
  skip: 0x400,
  refusedRecipients: 0x800,
  leadingBlank: 0x100000,
} as const;

const all = (bits: readonly number[]): number => bits.reduce((sum, bit) => sum | bit, 0);
const ourActions = all(Object.values(milterActions));
const ourSteps = all([
  ...Object.values(milterSteps).flatMap(({ unwanted, unanswered }) => [unwanted, unanswered]),
  ...Object.values(otherSteps),
]);

/** What we offer: all that there is. */
export const optionsFrame = (): Buffer => encodeFrame("O", encodeNumbers(newest, ourActions, ourSteps));

export interface MilterTerms {
  readonly version: number;
  may(action: MilterAction): boolean;
  wants(step: MilterStep): boolean;
  answers(step: MilterStep): boolean;
  /** Whether values of header fields travel with the blank behind the colon. */
  readonly leadingBlank: boolean;
  /** Names of the macros that it asks for with `step`; undefined where it does not say. */
  macros(step: MilterStep): readonly string[] | undefined;
}

/** Macros that a filter may ask for. Our choice: the longest list that we know has twenty. */
const mostMacros = 200;

/** Reads the answer to {@link optionsFrame}. Throws a {@link MilterTrouble} where that is none, or asks for what we do not have. */
export function readTerms({ command, data }: MilterFrame): MilterTerms {
  if (command !== "O") throw new MilterTrouble(`it began with "${shown(command)}", not with its options`);
  const fields = new FrameFields(data);
  const [version, actions, steps] = [fields.number(), fields.number(), fields.number()];
  if (version < oldest || version > newest)
    throw new MilterTrouble(`it speaks version ${version} of the protocol, we speak ${oldest} to ${newest}`);
  const strange = ((actions & ~ourActions) | (steps & ~ourSteps)) >>> 0;
  if (strange !== 0) throw new MilterTrouble(`it asks for 0x${strange.toString(16)}, which was not offered`);
  const macros = new Map<number, readonly string[]>();
  while (!fields.isAtEnd) {
    const step = fields.number();
    macros.set(step, macroNames(fields.text()));
    if (macros.size > mostMacros) throw new MilterTrouble("it asks for macros without an end");
  }
  return {
    version,
    may: (action) => (actions & milterActions[action]) !== 0,
    wants: (step) => {
      const { unwanted, since = 0 }: StepRow = milterSteps[step];
      return (steps & unwanted) === 0 && version >= since;
    },
    answers: (step) => (steps & milterSteps[step].unanswered) === 0,
    leadingBlank: (steps & otherSteps.leadingBlank) !== 0,
    macros: (step) => {
      const { macros: number }: StepRow = milterSteps[step];
      return number === undefined ? undefined : macros.get(number);
    },
  };
}

/** `i {mail_addr}`: names with blanks or commas between them. Without braces here. */
function macroNames(list: string): readonly string[] {
  return list
    .split(/[\s,]+/)
    .filter((name) => name !== "")
    .slice(0, mostMacros)
    .map((name) => name.replace(/^\{(.*)\}$/, "$1"));
}

/** A command of a filter, as it may stand in a log. */
export const shown = (command: string): string =>
  /^[!-~]$/.test(command) ? command : `\\x${(command.codePointAt(0) ?? 0).toString(16).padStart(2, "0")}`;
