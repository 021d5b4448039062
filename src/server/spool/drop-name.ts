/** Names of the files in the maildrop. */

/** Whether `name` is that of a message that is whole. Nobody makes two that are the same. */
export const isDropName = (name: string): boolean => /^[0-9a-f]{32}$/.test(name);

/** `random` gives so many octets of chance. */
export const newDropName = (random: (octets: number) => Buffer): string => random(16).toString("hex");

/** What the file is called until it is whole. */
export const draftName = (name: string): string => `.${name}.new`;

/** Whether `name` is that of a message that is being written, or whose writer died. */
export const isDraftName = (name: string): boolean =>
  name.startsWith(".") && name.endsWith(".new") && isDropName(name.slice(1, -".new".length));
