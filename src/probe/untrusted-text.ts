/** Text that strangers wrote, such as a server's replies, made fit to be shown. */

/** One line of plain text, without the bar behind which Nagios expects figures. */
export const oneLine = (text: string): string =>
  text
    .replace(/\p{Cc}+/gu, " ")
    .replaceAll("|", "/")
    .slice(0, 400);

/**
 * Servers may repeat what they were sent: `text` with every form in which `password` was sent replaced, and with those
 * of SASL's PLAIN and LOGIN (RFC 4616).
 */
export function withoutSecrets(text: string, user: string, password: string): string {
  if (password === "") return text;
  const base64 = (words: string): string => Buffer.from(words).toString("base64");
  const forms = [base64(`\0${user}\0${password}`), base64(password), password];
  return forms.reduce((words, form) => words.replaceAll(form, "(the password)"), text);
}
