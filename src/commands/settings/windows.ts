/** Clients with windows and pages in which a person types the values. */
import { type ClientError, type MailClient, type Service, security } from "./client.ts";

const ownPassword =
  "The password is the e-mail password, not the one of the account, and not the one of the mailbox elsewhere.";
const certificate =
  "The certificate is a real one for the server's name. A warning about it means a wrong name, or somebody in between: do not make an exception.";

const fromDocuments = "Not tried with the program itself: this follows its maker's documents.";
const wordsOf = (program: string): string =>
  `Not tried with the program itself, but its fields and messages are called so in ${program}.`;

const incomingFirst = (what: string): string => `This server only sends and has no mailboxes. ${what}`;

const fields =
  (labels: {
    readonly server: string;
    readonly port: string;
    readonly security: readonly [label: string, implicit: string, starttls: string];
    readonly login: string;
    readonly password: string;
    readonly method?: readonly [label: string, value: string];
  }) =>
  (service: Service): readonly (readonly [string, string])[] => {
    const [label, implicit, starttls] = labels.security;
    return [
      [labels.server, service.host],
      [labels.port, String(service.port)],
      [label, security(service, implicit, starttls)],
      ...(labels.method ? [labels.method] : []),
      [labels.login, service.login],
      [labels.password, "your e-mail password"],
    ];
  };

const noAnswer = (says: string): ClientError => ({
  says,
  means:
    "The server was not reached: server name, port, or a network that blocks the port; try the other port.",
  replies: [],
});

export const windowClients: readonly MailClient[] = [
  {
    id: "thunderbird",
    name: "Thunderbird",
    systems: "Linux, macOS, Windows",
    untried: wordsOf("Thunderbird 153"),
    cannot: incomingFirst(
      "The assistant for new accounts wants an incoming server, and takes automatic settings only with one: set up the account of your mailbox first, then add this server by hand.",
    ),
    steps: ({ address }) => [
      'Open "Account Settings", then "Outgoing Server" at the bottom of the list, with "(SMTP)" behind it in older versions, and click "Add…".',
      'Fill in the values and click "OK".',
      `Pick the account that has ${address} on the left; at the bottom, choose this server under "Outgoing Server".`,
      "Send a message to yourself. Thunderbird asks for the password now.",
    ],
    fields: fields({
      server: "Server Name",
      port: "Port",
      security: ["Connection security", "SSL/TLS", "STARTTLS"],
      method: ["Authentication method", "Normal password"],
      login: "User Name",
      password: "Password (asked for when you send)",
    }),
    pitfalls: [
      ownPassword,
      "An identity that still names another outgoing server sends there: look under Manage Identities.",
      certificate,
    ],
    errors: [
      {
        says: "Login to server … with username … failed",
        means: "Enter the e-mail password anew. Thunderbird does not show our text.",
        replies: ["wrong-password", "too-many-guesses", "frozen"],
      },
      {
        says: "Unable to authenticate to Outgoing server (SMTP) …",
        means: 'The authentication method is not "Normal password", or nothing was accepted.',
        replies: ["wrong-password", "no-check"],
      },
      {
        says: "An error occurred while sending mail. The mail server responded: …",
        means: "What follows is our reply.",
        replies: ["wrong-sender", "quota", "too-large", "no-login", "tls-first"],
      },
      noAnswer("The message could not be sent because the connection to Outgoing server (SMTP) … timed out"),
    ],
  },
  {
    id: "apple-mail",
    also: ["macos", "ios", "mail.app"],
    name: "Apple Mail",
    systems: "macOS, iOS, iPadOS",
    untried: fromDocuments,
    cannot: incomingFirst(
      "An account, and a .mobileconfig profile as well, must have an incoming server: add this server to the account of your mailbox.",
    ),
    steps: () => [
      'On a Mac: Mail, Settings, Accounts, your account, "Server Settings". Under "Outgoing Mail Account" choose "Edit SMTP Server List…" and add one with "+".',
      'Leave out "Automatically manage connection settings", fill in the values, click "OK", choose the new server, and click "Save".',
      'On an iPhone or iPad: Settings, Apps, Mail, Mail Accounts, your account, then its address, "SMTP", "Add Server…".',
      "There, port and SSL are shown once the server has been saved: open it again and look at them.",
    ],
    fields: fields({
      server: "Host Name",
      port: "Port",
      security: ["Use TLS/SSL", "on", "on (it begins with STARTTLS by itself)"],
      method: ["Authentication", "Password"],
      login: "User Name",
      password: "Password",
    }),
    pitfalls: [
      ownPassword,
      'On iOS "optional" beside user name and password is not true here: without them nothing is sent.',
      "A server that fails is silently replaced by another one of the list: turn the others off for this account.",
      certificate,
    ],
    errors: [
      {
        says: "Cannot send message using the server …",
        means: "It hides the server's text. See Window, Connection Doctor, Show Detail on a Mac.",
        replies: ["wrong-password", "too-many-guesses", "frozen", "no-login"],
      },
      {
        says: 'Cannot Send Mail. The user name or password for "…" is incorrect',
        means: "Type the e-mail password anew.",
        replies: ["wrong-password"],
      },
      {
        says: "The sender address … was rejected by the server",
        means: "The account sends with an address that is not yours.",
        replies: ["wrong-sender"],
      },
    ],
  },
  {
    id: "gmail",
    name: 'Gmail, "send mail as"',
    systems: "any web browser",
    untried: fromDocuments,
    steps: ({ address, domain }) => [
      'Click on the gear, "See all settings", and the tab "Accounts and Import".',
      `Under "Send mail as" click "Add another email address" and give ${address}; for one that is there already click "edit info", then "Next Step".`,
      `Choose "Send through ${domain} SMTP servers" and fill in the values.`,
      "Click on the button below. Gmail logs in at once; then it sends a code to the address, which you type in.",
    ],
    fields: fields({
      server: "SMTP Server",
      port: "Port",
      security: ["Secured connection using", "SSL", "TLS"],
      login: "Username",
      password: "Password",
    }),
    pitfalls: [
      "Google keeps the e-mail password and logs in from its own addresses: a change of the password must be made there, too.",
      "Mail to the address must reach you before you begin, for the code.",
      "The choice without encryption does not work here.",
      "Only in a web browser: the app takes over what was set up there.",
    ],
    errors: [
      {
        says: "Authentication failed. Please check your username/password.",
        means: "The text of the server stands below it, with its code.",
        replies: ["wrong-password", "too-many-guesses", "frozen"],
      },
      {
        says: "TLS Negotiation failed, the certificate doesn't match the host.",
        means: "The server's name has a typing mistake, or its certificate is not from a public authority.",
        replies: [],
      },
      {
        says: "Message not delivered (a report, by mail)",
        means: "The report quotes our reply.",
        replies: ["quota", "wrong-sender", "too-large"],
      },
    ],
  },
  {
    id: "outlook",
    also: ["new-outlook"],
    name: "Outlook (new, mobile, and on the web)",
    systems: "Windows, macOS, Android, iOS",
    untried: fromDocuments,
    cannot: incomingFirst(
      "The new Outlook takes only whole accounts with IMAP, and an outgoing server only as a part of one.",
    ),
    steps: () => [
      'Add the account of your mailbox: Settings, Accounts, "Add account", "Choose provider", IMAP.',
      'Show the advanced settings and put the values into the part "SMTP outgoing".',
      "Where it asks for one password for both, it cannot be used with this server: take the classic Outlook or another client.",
    ],
    fields: fields({
      server: "SMTP server",
      port: "Port",
      security: ["Secure connection type", "SSL/TLS", "StartTLS"],
      login: "SMTP username",
      password: "SMTP password",
    }),
    pitfalls: [
      "Microsoft's cloud keeps both passwords and logs in from its own addresses, not from your device.",
      ownPassword,
    ],
    errors: [
      {
        says: "Something went wrong / We couldn't log you in",
        means: "It shows no text of the server. Try login and password with another client first.",
        replies: ["wrong-password", "too-many-guesses", "frozen"],
      },
    ],
  },
  {
    id: "outlook-classic",
    name: "Outlook (classic)",
    systems: "Windows",
    untried: fromDocuments,
    cannot: incomingFirst("An account must have an incoming server: use the one of your mailbox."),
    steps: () => [
      'Control Panel, "Mail (Microsoft Outlook)", "Email Accounts…", your account, "Change…".',
      'Put the server\'s name into "Outgoing mail server (SMTP)", then click "More Settings…".',
      'On the tab "Outgoing Server": "My outgoing server (SMTP) requires authentication", "Log on using", with login and password. Leave out "Require Secure Password Authentication (SPA)".',
      'On the tab "Advanced": port and encryption of the outgoing server.',
    ],
    fields: fields({
      server: "Outgoing mail server (SMTP)",
      port: "Outgoing server (SMTP)",
      security: ["Use the following type of encrypted connection", "SSL/TLS", "STARTTLS"],
      login: "User Name",
      password: "Password",
    }),
    pitfalls: [
      ownPassword,
      '"Use same settings as my incoming mail server" sends the wrong password.',
      'The choice "Auto" may give up encryption, and then no login is offered.',
    ],
    errors: [
      {
        says: "0x800CCC0E, 0x80042109: Outlook cannot connect to your outgoing (SMTP) e-mail server",
        means: "Server name, port, or a network that blocks the port.",
        replies: [],
      },
      {
        says: "0x800CCC80: None of the authentication methods supported by this client are supported by your server",
        means: "SPA is on, or encryption is off.",
        replies: ["tls-first"],
      },
      {
        says: "0x800CCC78, 0x800CCC79: The server responded: …",
        means: "What follows is our reply.",
        replies: ["no-login", "wrong-sender"],
      },
      {
        says: "The window with name and password comes again and again",
        means: "The login was refused.",
        replies: ["wrong-password", "too-many-guesses", "frozen"],
      },
    ],
  },
  {
    id: "k-9",
    also: ["thunderbird-android", "k9"],
    name: "K-9 Mail, Thunderbird for Android",
    systems: "Android",
    untried: fromDocuments,
    cannot: incomingFirst(
      "An account must have an incoming server, and automatic settings without one are not taken: add the account of your mailbox, then change its outgoing server.",
    ),
    steps: () => [
      'Settings, your account, "Sending mail", "Outgoing server".',
      'Switch "Require sign-in" on and fill in the values.',
    ],
    fields: fields({
      server: "SMTP server",
      port: "Port",
      security: ["Security", "SSL/TLS", "STARTTLS"],
      method: ["Authentication", "Normal password"],
      login: "Username",
      password: "Password",
    }),
    pitfalls: [ownPassword, "One outgoing server an account: all its identities send by it.", certificate],
    errors: [
      {
        says: "Authentication failed",
        means: "A part of our text follows.",
        replies: ["wrong-password", "too-many-guesses", "frozen"],
      },
      {
        says: "Failed to send some messages",
        means: "The notice shows our reply; the message stays in the outbox.",
        replies: ["wrong-sender", "quota", "too-large"],
      },
    ],
  },
  {
    id: "fairemail",
    name: "FairEmail",
    systems: "Android",
    untried: fromDocuments,
    cannot: incomingFirst(
      'Its quick setup wants an incoming server. Set the mailbox up first; an outgoing server is an "identity" of its own and tied to that account.',
    ),
    steps: ({ address }) => [
      'Settings, "Manual setup and account options", "Identities", "+".',
      `Choose the account of your mailbox, give your name and ${address}, open "Advanced" and fill in the values.`,
      'Click "Check", then "Save".',
    ],
    fields: fields({
      server: "Host",
      port: "Port number",
      security: ["Encryption", "SSL/TLS", "STARTTLS"],
      login: "Username",
      password: "Password",
    }),
    pitfalls: [ownPassword, certificate],
    errors: [
      {
        says: "535 5.7.8 … and other replies in full",
        means: "FairEmail shows the server's whole text.",
        replies: ["wrong-password", "too-many-guesses", "frozen", "wrong-sender", "quota"],
      },
    ],
  },
  {
    id: "evolution",
    name: "Evolution",
    systems: "Linux",
    untried: wordsOf("Evolution 3.46"),
    steps: () => [
      'Edit, Accounts, your account (or a new mail account with the receiving type "None"), "Edit".',
      'In "Sending Email" choose the type SMTP and fill in the values.',
      '"Server requires authentication" is on.',
    ],
    fields: fields({
      server: "Server",
      port: "Port",
      security: ["Encryption method", "TLS on a dedicated port", "STARTTLS after connecting"],
      method: ["Authentication, Type", "PLAIN"],
      login: "Username",
      password: "Password (asked for when you send)",
    }),
    pitfalls: [ownPassword, "Without the check mark at authentication it sends without a login."],
    errors: [
      {
        says: "Failed to authenticate … / the password is asked for again",
        means: "The window shows our text.",
        replies: ["wrong-password", "too-many-guesses", "frozen"],
      },
      {
        says: "MAIL FROM / RCPT TO command failed: …",
        means: "What follows is our reply.",
        replies: ["wrong-sender", "no-login", "quota"],
      },
    ],
  },
  {
    id: "kmail",
    name: "KMail",
    systems: "Linux",
    untried: wordsOf("KMail 22.12"),
    steps: () => [
      'Settings, "Configure KMail…", Accounts, Sending, "Add…", SMTP.',
      'Fill in the values; on the tab "Advanced" choose encryption and authentication.',
      'Choose it under Identities, your identity, Advanced, "Outgoing account".',
    ],
    fields: fields({
      server: "Outgoing mail server",
      port: "Port",
      security: ["Encryption", "SSL/TLS", "STARTTLS"],
      method: ["Authentication", "PLAIN"],
      login: "Login",
      password: "Password",
    }),
    pitfalls: [
      '"Server requires authentication" must be on before a login can be typed.',
      "The assistant for accounts wants an incoming server: do not use it, or leave it.",
    ],
    errors: [
      {
        says: "Failed to transport message. …",
        means: "What follows is our reply.",
        replies: ["wrong-password", "too-many-guesses", "wrong-sender", "no-login", "quota"],
      },
    ],
  },
  {
    id: "claws",
    also: ["claws-mail", "sylpheed"],
    name: "Claws Mail",
    systems: "Linux, Windows",
    untried: wordsOf("Claws Mail 4.1"),
    steps: () => [
      'Configuration, "Create new account…" or "Edit accounts…"; the protocol "None (SMTP only)" makes an account for sending alone.',
      'Basic: the server. Send: "SMTP Authentication (SMTP AUTH)", method PLAIN, login and password.',
      'TLS (SSL/TLS in older versions): under "Send (SMTP)" choose the encryption. Advanced: the port.',
    ],
    fields: fields({
      server: "SMTP server (send)",
      port: "SMTP port",
      security: ["Send (SMTP)", "Use TLS", "Use STARTTLS command to start encrypted session"],
      method: ["Authentication method", "PLAIN"],
      login: "User ID",
      password: "Password",
    }),
    pitfalls: [
      "Empty fields under SMTP authentication take login and password of the incoming server, which are wrong here.",
    ],
    errors: [
      {
        says: "Error occurred while sending the message. / Authentication failed",
        means: "Tools, Network Log shows our reply.",
        replies: ["wrong-password", "too-many-guesses", "frozen", "wrong-sender", "no-login"],
      },
    ],
  },
  {
    id: "printer",
    also: ["scanner"],
    name: "Printers and scanners",
    systems: "Scan to e-mail in the device's own web page",
    untried: "Not tried with any device.",
    steps: () => [
      "Open the device's web page as its administrator; look for SMTP, e-mail server or scan to e-mail.",
      "Fill in the values; set the sender (From) to the address of the login that you use, and forbid changes of it.",
      "Set the device's clock, or let it ask a time server: with a wrong date no certificate is valid.",
    ],
    fields: fields({
      server: "SMTP server",
      port: "Port",
      security: ["Encryption", "SSL/TLS", "STARTTLS"],
      method: ["Authentication", "PLAIN or LOGIN"],
      login: "User name",
      password: "Password",
    }),
    pitfalls: [
      "TLS 1.2 is needed at least: old devices want newer firmware, or a Postfix beside them that relays.",
      "Have a login of its own made for the device: its password can be read by whoever administers it.",
      "The reply-to address may be the person who scans; the sender may not.",
      "Many devices do not check certificates. Switch it on where there is a choice.",
    ],
    errors: [
      {
        says: "SMTP authentication error, a number in place of words",
        means: "The device has a protocol or log of its own, which may show our reply.",
        replies: ["wrong-password", "too-many-guesses", "no-login", "tls-first"],
      },
      {
        says: "Transmission failed",
        means: "Sender or size of the scan.",
        replies: ["wrong-sender", "too-large"],
      },
      noAnswer("Connection error"),
    ],
  },
];
