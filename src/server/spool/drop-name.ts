/** Names of the files in the maildrop. */

/** Characters of a name, hexadecimal digits: nobody can make them so that two are the same. */
const length = 32;

const dropName = new RegExp(`^[0-9a-f]{${length}}$`);

/** Whether `name` is that of a message that is whole. */
export const isDropName = (name: string): boolean => dropName.test(name);

/** `random` gives so many octets of chance. */
export const newDropName = (random: (octets: number) => Buffer): string => random(length / 2).toString("hex");

/** What the file is called until it is whole. */
export const draftName = (name: string): string => `.${name}.new`;

/** Whether `name` is that of a message that is being written, or whose writer died. */
export const isDraftName = (name: string): boolean =>
  name.startsWith(".") && name.endsWith(".new") && isDropName(name.slice(1, -".new".length));
