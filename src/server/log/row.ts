/** What a row of the tables of events is made of. */

export type Level = "info" | "warning" | "error";

/** Which door a client came through; part of the tag: `postfix/submission/smtpd`, `postfix/smtps/smtpd`. */
export type Door = "submission" | "smtps";

export interface Row<Fields> {
  /** The Postfix program whose line this is; "smtpd" is preceded by the door. */
  readonly daemon: "smtpd" | "cleanup" | "qmgr" | "smtp" | "bounce" | "postsuper" | "master";
  readonly level: Level;
  readonly text: (fields: Fields) => string;
}

/** What a line about a message names. */
export interface InQueue {
  readonly id: string;
}

/** A row of the table. */
export function row<Fields>(
  daemon: Row<Fields>["daemon"],
  level: Level,
  text: (fields: Fields) => string,
): Row<Fields> {
  return { daemon, level, text };
}

/** What a client calls itself, as one word: what it says must not look like a further part of the line. */
export function word(said: string): string {
  return said.replace(/[\s<>,]/g, "?");
}
