/** Files that clients take, by the word for --format. */
import { createHash } from "node:crypto";
import type { Service } from "./client.ts";
import { mainCfFile, programFiles } from "./programs.ts";
import { anybody } from "./service.ts";

/** A server with the person's mailbox, which is elsewhere: IMAP inside TLS (RFC 8314). */
export interface Incoming {
  readonly host: string;
  readonly port: number;
}

interface Format {
  readonly write: (service: Service, incoming: Incoming | undefined) => string;
  /** What becomes of it without an incoming server; undefined where it needs none. */
  readonly lacking?: { readonly isFile: boolean; readonly text: string };
}

const plain = (write: (service: Service) => string): Format => ({ write });

export const formats = {
  msmtprc: plain(programFiles.msmtprc),
  muttrc: plain(programFiles.muttrc),
  gitconfig: plain(programFiles.gitconfig),
  "main.cf": plain(mainCfFile),
  mobileconfig: {
    write: mobileconfig,
    lacking: {
      isFile: false,
      text: "Apple takes no profile for sending alone; name the server of the mailbox with --incoming HOST",
    },
  },
  "config-v1.1.xml": {
    write: autoconfig,
    lacking: {
      isFile: true,
      text: "Thunderbird and K-9 take no settings for sending alone; name the server of the mailboxes with --incoming HOST",
    },
  },
  autodiscover: {
    write: autodiscover,
    lacking: {
      isFile: true,
      text: "Outlook takes no settings for sending alone; name the server of the mailboxes with --incoming HOST",
    },
  },
} as const satisfies Readonly<Record<string, Format>>;

export type FormatName = keyof typeof formats;

export const formatOf = (name: FormatName): Format => formats[name];

/** For XML 1.0; host names and logins have nothing else that would mean something in it. */
const xml = (text: string | number): string =>
  String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** Mozilla's config-v1.1; draft-ietf-mailmaint-autoconfig. The client fills %…% in. */
function autoconfig(service: Service, incoming: Incoming | undefined): string {
  const { others = [] } = service;
  // The whole address is a login for everybody; the part before the @ for the people of the main domain alone.
  const anyone = others.length > 0 ? "%EMAILADDRESS%" : "%EMAILLOCALPART%";
  const known = service.login !== anybody;
  const outgoing = (port: number, socket: string): string => `    <outgoingServer type="smtp">
      <hostname>${xml(service.host)}</hostname>
      <port>${port}</port>
      <socketType>${socket}</socketType>
      <authentication>password-cleartext</authentication>
      <username>${known ? xml(service.login) : anyone}</username>
    </outgoingServer>
`;
  const first = outgoing(service.port, service.isImplicit ? "SSL" : "STARTTLS");
  const second =
    service.isImplicit && service.starttls !== undefined ? outgoing(service.starttls, "STARTTLS") : "";
  const mailbox =
    incoming === undefined
      ? ""
      : `    <incomingServer type="imap">
      <hostname>${xml(incoming.host)}</hostname>
      <port>${incoming.port}</port>
      <socketType>SSL</socketType>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </incomingServer>
`;
  // At most 60 and 20 characters in these two names.
  return `<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="${xml(service.domain)}">
${[service.domain, ...others].map((name) => `    <domain>${xml(name)}</domain>\n`).join("")}    <displayName>${xml(service.domain.slice(0, 60))}</displayName>
    <displayShortName>${xml(service.domain.slice(0, 20))}</displayShortName>
${mailbox}${first}${second}  </emailProvider>
</clientConfig>
`;
}

/** The answer of Autodiscover's plain XML ([MS-OXDSCLI] section 2.2.4). SPA and SSL are "on" where they are left out. */
function autodiscover(service: Service, incoming: Incoming | undefined): string {
  const protocol = (type: string, { host, port }: Incoming, encryption: string, more: string): string =>
    `      <Protocol>
        <Type>${type}</Type>
        <Server>${xml(host)}</Server>
        <Port>${port}</Port>
${more}        <DomainRequired>off</DomainRequired>
        <SPA>off</SPA>
        <SSL>on</SSL>
        <Encryption>${encryption}</Encryption>
        <AuthRequired>on</AuthRequired>
${type === "SMTP" ? "        <UsePOPAuth>off</UsePOPAuth>\n        <SMTPLast>off</SMTPLast>\n" : ""}      </Protocol>
`;
  const login = service.login === anybody ? "" : `        <LoginName>${xml(service.login)}</LoginName>\n`;
  return `<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006">
  <Response xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a">
    <Account>
      <AccountType>email</AccountType>
      <Action>settings</Action>
${incoming === undefined ? "" : protocol("IMAP", incoming, "SSL", "")}${protocol("SMTP", service, service.isImplicit ? "SSL" : "TLS", login)}    </Account>
  </Response>
</Autodiscover>
`;
}

/** Apple's profile (com.apple.mail.managed). It holds no password: the device asks for both. */
function mobileconfig(service: Service, incoming: Incoming | undefined): string {
  const known = service.login !== anybody;
  const person: readonly (readonly [string, string])[] = known
    ? [
        ["EmailAddress", service.address],
        ["OutgoingMailServerUsername", service.login],
      ]
    : [];
  // The same for the same address, so that a new profile replaces the one before.
  const mail = uuidOf(`mail ${service.host} ${service.address}`);
  const whole = uuidOf(`profile ${service.host} ${service.address}`);
  const reversed = service.domain.split(".").reverse().join(".");
  const value = (key: string, content: string | number | boolean, depth: string): string =>
    `${depth}<key>${key}</key>\n${depth}${
      typeof content === "boolean"
        ? `<${content}/>`
        : typeof content === "number"
          ? `<integer>${content}</integer>`
          : `<string>${xml(content)}</string>`
    }\n`;
  const payload: readonly (readonly [string, string | number | boolean])[] = [
    ["PayloadType", "com.apple.mail.managed"],
    ["PayloadVersion", 1],
    ["PayloadIdentifier", `${reversed}.mail.${mail}`],
    ["PayloadUUID", mail],
    ["PayloadDisplayName", service.domain],
    ["EmailAccountDescription", service.domain],
    ["EmailAccountType", "EmailTypeIMAP"],
    ["IncomingMailServerAuthentication", "EmailAuthPassword"],
    ["IncomingMailServerHostName", incoming?.host ?? ""],
    ["IncomingMailServerPortNumber", incoming?.port ?? 993],
    ["IncomingMailServerUseSSL", true],
    ["OutgoingMailServerAuthentication", "EmailAuthPassword"],
    ["OutgoingMailServerHostName", service.host],
    ["OutgoingMailServerPortNumber", service.port],
    ["OutgoingMailServerUseSSL", true],
    ["OutgoingPasswordSameAsIncomingPassword", false],
    ...person,
  ];
  const profile: readonly (readonly [string, string | number | boolean])[] = [
    ["PayloadType", "Configuration"],
    ["PayloadVersion", 1],
    ["PayloadIdentifier", `${reversed}.profile.${whole}`],
    ["PayloadUUID", whole],
    ["PayloadDisplayName", `Mail of ${service.domain}`],
  ];
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
${profile.map(([key, content]) => value(key, content, "  ")).join("")}  <key>PayloadContent</key>
  <array>
    <dict>
${payload.map(([key, content]) => value(key, content, "      ")).join("")}    </dict>
  </array>
</dict>
</plist>
`;
}

/** By RFC 9562 section 5.8 (version 8: made as the writer likes). */
function uuidOf(text: string): string {
  const octets = createHash("sha256").update(text).digest().subarray(0, 16);
  octets[6] = ((octets[6] ?? 0) & 0x0f) | 0x80;
  octets[8] = ((octets[8] ?? 0) & 0x3f) | 0x80;
  const hex = octets.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
