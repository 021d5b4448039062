/** The table for a terminal and as Markdown. */
import { type MailClient, type Service, security } from "./client.ts";
import { type ReplyName, type ReplyRow, replies } from "./replies.ts";

/** A reply with what this server says where a setting has changed it. */
export function replyOf(name: ReplyName, { wrongText }: Service): ReplyRow {
  const row = replies[name];
  return name === "wrong-password" ? { ...row, text: wrongText } : row;
}

/** The values that every client wants, by plain names. */
export const commonFields = (service: Service): readonly (readonly [string, string])[] => [
  ["Server", service.host],
  ["Port", String(service.port)],
  ["Security", security(service, "TLS from the first octet (SSL/TLS)", "STARTTLS")],
  ...(service.isImplicit && service.starttls !== undefined
    ? [["or", `port ${service.starttls} with STARTTLS`] as const]
    : []),
  ["Login", service.login],
  ["Password", "your e-mail password"],
  ["Sender", service.address],
];

/** All clients on one screen. */
export function overviewText(
  clients: readonly MailClient[],
  service: Service,
  heading: (text: string) => string,
): string {
  const rows = clients.map(({ id, name }) => `  ${id.padEnd(16)} ${name}\n`).join("");
  return `${heading(`Sending by ${service.host}`)}\n${fieldLines(commonFields(service))}
${heading("Clients")}\n${rows}
"tpa-submit settings CLIENT" tells all about one.\n`;
}

export function clientText(client: MailClient, service: Service, heading: (text: string) => string): string {
  const parts = [
    `${heading(client.name)} (${client.systems})\n${client.cannot === undefined ? "" : wrapped(client.cannot, "", "")}`,
    fieldLines(client.fields?.(service) ?? commonFields(service)),
    client
      .steps(service)
      .map((step, at) => wrapped(step, `${at + 1}. `, "   "))
      .join(""),
    ...(client.files?.(service) ?? []).map(({ name, text }) => `${heading(name)}\n${indented(text)}`),
    `${heading("Mind")}\n${client.pitfalls.map((text) => wrapped(text, "- ", "  ")).join("")}`,
    `${heading("When it fails")}\n${client.errors
      .map(
        ({ says, means, replies: behind }) =>
          `${wrapped(says, "- ", "  ")}${wrapped(means, "    ", "    ")}${behind
            .map((name) => {
              const { code, text, means: meaning } = replyOf(name, service);
              return wrapped(`${code} ${text}: ${meaning}`, "    * ", "      ");
            })
            .join("")}`,
      )
      .join("")}`,
  ];
  return parts.join("\n");
}

const indented = (text: string): string => text.replace(/^(?=.)/gm, "    ");

const fieldLines = (fields: readonly (readonly [string, string])[]): string => {
  const width = Math.max(...fields.map(([label]) => label.length));
  return fields.map(([label, value]) => `  ${label.padEnd(width)}  ${value}\n`).join("");
};

/** In lines of 79 characters. What has no blank is not cut, so that it can be copied. */
function wrapped(text: string, first: string, further: string): string {
  const lines: string[] = [];
  let line = first;
  let isEmpty = true;
  for (const word of text.split(" ")) {
    if (!isEmpty && line.length + 1 + word.length > 79) {
      lines.push(line);
      line = further;
      isEmpty = true;
    }
    line += `${isEmpty ? "" : " "}${word}`;
    isEmpty = false;
  }
  return `${[...lines, line].join("\n")}\n`;
}

/** docs/clients.md. */
export function clientsMarkdown(clients: readonly MailClient[], service: Service): string {
  const code = (text: string): string => `\`${text}\``;
  const table = (fields: readonly (readonly [string, string])[]): string =>
    `| field | value |\n|---|---|\n${fields.map(([label, value]) => `| ${label} | ${value} |\n`).join("")}`;
  const fence = (text: string): string => `\`\`\`\n${text.trimEnd()}\n\`\`\`\n`;
  const one = (client: MailClient): string =>
    [
      `## ${client.name}\n\n\`tpa-submit settings ${client.id}\`; ${client.systems}.\n`,
      ...(client.untried === undefined ? [] : [`${client.untried}\n`]),
      ...(client.cannot === undefined ? [] : [`**${client.cannot}**\n`]),
      client
        .steps(service)
        .map((step, at) => `${at + 1}. ${markdownText(step)}\n`)
        .join(""),
      ...(client.fields === undefined ? [] : [table(client.fields(service))]),
      ...(client.files?.(service) ?? []).map(({ name, text }) => `${code(name)}:\n\n${fence(text)}`),
      client.pitfalls.map((text) => `- ${markdownText(text)}\n`).join(""),
      `| it says | which means | our replies |\n|---|---|---|\n${client.errors
        .map(
          ({ says, means, replies: behind }) =>
            `| ${markdownText(says)} | ${markdownText(means)} | ${behind.map((name) => `[${replies[name].code}](#our-replies)`).join(", ") || "none"} |\n`,
        )
        .join("")}`,
    ].join("\n");
  return `# Clients

What to type where, for a relay with the host name ${service.host} and the login ${service.login}. \`tpa-submit settings\` prints
the same with a relay's own names ([tpa-submit-settings(1)](../man/tpa-submit-settings.1)). This page is made of the table
in \`src/commands/settings\`; after a change of it, \`npx vitest run test/commands/settings -u\` writes it anew.
Where nothing else is said, a test sends mail by the program itself with what stands here.

${table(commonFields(service))}
${clients.map((client) => `${one(client)}\n`).join("")}## Our replies

| reply | what it means and what to do |
|---|---|
${Object.keys(replies)
  .map((name) => replyOf(name as ReplyName, service))
  .map(({ code: number, text, means }) => `| ${number} ${text} | ${markdownText(means)} |\n`)
  .join("")}`;
}

/** What would be markup: an asterisk, an underscore, a tag. */
const markdownText = (text: string): string => text.replace(/[*_<>|]/g, (character) => `\\${character}`);
