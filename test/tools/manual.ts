/** Manual pages as tests read them. */

/** The part of a page below `.Sh TITLE`, or below one of its `.Ss TITLE`. Throws where there is none. */
export function part(text: string, level: "Sh" | "Ss", title: string): string {
  const parts = text.split(new RegExp(`^\\.${level} `, "m"));
  const found = parts.find((one) => one.startsWith(`${title}\n`));
  if (found === undefined) throw new Error(`there is no .${level} ${title}`);
  return found;
}
