/** Clients that read a file or a command line, and mail servers that relay through this one. */
import { type MailClient, type Service, security } from "./client.ts";

/** Not in a command line, which every user of the machine can read, and rather not in a file. */
const keeper = ({ address }: Service): string => `pass mail/${address}`;

const passNote =
  '"pass" stands for whatever keeps passwords; any command that prints the password will do, such as "secret-tool lookup".';

/** A login in a URL (RFC 3986 section 3.2.1). */
const inUrl = (login: string): string => login.replaceAll("@", "%40");

const relayhost = ({ host, port }: Service): string => `[${host}]:${port}`;

const msmtprc = (service: Service, lines = ""): string => `defaults
auth on
tls on
tls_starttls ${security(service, "off", "on")}
${lines}
account ${service.domain}
host ${service.host}
port ${service.port}
from ${service.address}
user ${service.login}
passwordeval ${keeper(service)}

account default : ${service.domain}
`;

const muttrc = (service: Service): string => `set from = "${service.address}"
set use_from = yes
set use_envelope_from = yes
set smtp_url = "${security(service, "smtps", "smtp")}://${inUrl(service.login)}@${service.host}:${service.port}"
set smtp_pass = "\`${keeper(service)}\`"
set ssl_force_tls = yes
`;

const gitconfig = (service: Service): string => `[sendemail]
	from = ${service.address}
	smtpServer = ${service.host}
	smtpServerPort = ${service.port}
	smtpEncryption = ${security(service, "ssl", "tls")}
	smtpUser = ${service.login}
`;

// Postfix looks a password up by the next hop as it is written, or by the bare host name: nothing in between.
const mainCf = (service: Service): string => `relayhost = ${relayhost(service)}
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:/etc/postfix/sasl_passwd
smtp_sasl_security_options = noanonymous
smtp_tls_security_level = secure
smtp_tls_wrappermode = ${security(service, "yes", "no")}
smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt
`;

const saslPasswd = (service: Service): string => `${relayhost(service)} ${service.login}:PASSWORD\n`;

/** With a transport of its own: TLS from the first octet is a setting of the whole smtp(8), which sends other mail, too. */
const senderMainCf = `sender_dependent_default_transport_maps = texthash:/etc/postfix/sender_transport
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:/etc/postfix/sasl_passwd
smtp_sasl_security_options = noanonymous
`;

const senderMasterCf = (service: Service): string => `submission-relay unix - - n - - smtp
  -o smtp_tls_security_level=secure
  -o smtp_tls_wrappermode=${security(service, "yes", "no")}
  -o smtp_tls_CAfile=/etc/ssl/certs/ca-certificates.crt
`;

const senderTransport = (service: Service): string =>
  `${service.address} submission-relay:${relayhost(service)}\n`;

const eximConf = (service: Service): string => `begin routers

submission:
  driver = manualroute
  domains = ! +local_domains
  transport = submission
  route_list = * ${service.host} byname
  no_more

begin transports

submission:
  driver = smtp
  port = ${service.port}
  protocol = ${security(service, "smtps", "smtp")}
  hosts_require_tls = *
  hosts_require_auth = *
  tls_verify_certificates = /etc/ssl/certs/ca-certificates.crt
  tls_verify_hosts = *
  tls_verify_cert_hostnames = *

begin authenticators

submission:
  driver = plaintext
  public_name = PLAIN
  client_send = "^${service.login}^\${readfile{/etc/exim4/submission-password}{}}"
`;

const smtpdConf = (service: Service): string => `table secrets file:/etc/mail/secrets
action "submission" relay host ${security(service, "smtps", "smtp+tls")}://submission@${service.host}:${service.port} auth <secrets>
match from local for any action "submission"
`;

const mailrc = (service: Service): string => `set v15-compat
set from=${service.address}
set mta=${security(service, "smtps", "submission")}://${inUrl(service.login)}@${service.host}:${service.port}
set smtp-auth=login
${service.isImplicit ? "" : "set smtp-use-starttls\n"}set tls-verify=strict
`;

const python = (service: Service): string => `import email.message, email.utils, os, smtplib, ssl

message = email.message.EmailMessage()
message["From"] = "${service.address}"
message["To"] = "${service.address}"
message["Subject"] = "Test"
message["Date"] = email.utils.localtime()
message["Message-ID"] = email.utils.make_msgid(domain="${service.domain}")
message.set_content("It works.")

context = ssl.create_default_context()
${security(
  service,
  `with smtplib.SMTP_SSL("${service.host}", ${service.port}, context=context) as server:
`,
  `with smtplib.SMTP("${service.host}", ${service.port}) as server:
    server.starttls(context=context)
`,
)}    server.login("${service.login}", os.environ["MAIL_PASSWORD"])
    server.send_message(message)
`;

const phpMailer = (service: Service): string => `$mail = new PHPMailer\\PHPMailer\\PHPMailer(true);
$mail->isSMTP();
$mail->Host = '${service.host}';
$mail->Port = ${service.port};
$mail->SMTPSecure = PHPMailer\\PHPMailer\\PHPMailer::${security(service, "ENCRYPTION_SMTPS", "ENCRYPTION_STARTTLS")};
$mail->SMTPAuth = true;
$mail->Username = '${service.login}';
$mail->Password = getenv('MAIL_PASSWORD');
$mail->setFrom('${service.address}');
`;

const torLines = "proxy_host 127.0.0.1\nproxy_port 9050\n";

export const programClients: readonly MailClient[] = [
  {
    id: "msmtp",
    name: "msmtp",
    systems: "Linux, BSD, macOS; also over Tor",
    steps: ({ address }) => [
      "Write the file below; only you may read it (chmod 600).",
      `Try it: echo hello | msmtp --debug ${address}`,
      "To send over Tor, put the two lines for the proxy into it: the server then sees an address of Tor's.",
      `Where the zone has SRV records, "msmtp --configure ${address}" writes such a file by itself.`,
    ],
    files: (service) => [
      { name: "~/.msmtprc", text: msmtprc(service) },
      { name: "~/.msmtprc, over Tor", text: msmtprc(service, torLines) },
    ],
    pitfalls: [
      passNote,
      'With "tls_starttls off" the port must be the one for TLS, and the other way round: else msmtp waits until it gives up.',
    ],
    errors: [
      {
        says: "msmtp: authentication failed (method …), exit status 77",
        means: "The next line is our reply.",
        replies: ["wrong-password", "too-many-guesses", "no-check", "frozen"],
      },
      {
        says: "msmtp: envelope from address … not accepted by the server",
        means: "The next line is our reply.",
        replies: ["wrong-sender", "no-login", "quota"],
      },
      {
        says: "msmtp: TLS certificate verification failed",
        means: "Host is not a name in the certificate, or the system has no list of authorities.",
        replies: [],
      },
    ],
  },
  {
    id: "mutt",
    also: ["neomutt"],
    name: "mutt, neomutt",
    systems: "Linux, BSD, macOS",
    steps: () => ["Put these lines into the file; the password is asked of its keeper when mutt starts."],
    files: (service) => [{ name: "~/.muttrc", text: muttrc(service) }],
    pitfalls: [
      passNote,
      'An "@" in the login is written %40 in "smtp_url"; the one behind it stands before the server.',
      'A "sendmail" that is set as well is not used as long as "smtp_url" is.',
    ],
    errors: [
      {
        says: "SASL authentication failed",
        means: 'The server\'s text is not shown; "mutt -d 2" writes it to ~/.muttdebug0.',
        replies: ["wrong-password", "too-many-guesses", "frozen"],
      },
      {
        says: "SMTP session failed: …",
        means: "What follows is our reply.",
        replies: ["wrong-sender", "quota", "too-large"],
      },
    ],
  },
  {
    id: "s-nail",
    also: ["mailx"],
    name: "s-nail",
    systems: "Linux, BSD",
    steps: () => ["Put these lines into the file. The password is asked for, or taken from ~/.netrc."],
    files: (service) => [
      { name: "~/.mailrc", text: mailrc(service) },
      {
        name: '~/.netrc (chmod 600; and "set netrc-lookup" in ~/.mailrc)',
        text: `machine ${service.host} login ${service.login} password PASSWORD\n`,
      },
    ],
    pitfalls: ['Without "v15-compat" the login in the URL is not understood.'],
    errors: [
      {
        says: "smtp-server: 535 5.7.8 … and other replies",
        means: "s-nail shows our reply, and keeps the message in ~/dead.letter.",
        replies: ["wrong-password", "too-many-guesses", "wrong-sender", "quota"],
      },
    ],
  },
  {
    id: "git",
    also: ["git-send-email"],
    name: "git send-email",
    systems: "Linux, BSD, macOS, Windows",
    steps: ({ address }) => [
      "Put these lines into the file, or set each with git config --global.",
      "git asks for the password and, where a credential helper is set up, keeps it.",
      `Try it on one patch to yourself: git send-email --to=${address} -1`,
    ],
    files: (service) => [{ name: "~/.gitconfig", text: gitconfig(service) }],
    pitfalls: [
      "smtpEncryption is a word: ssl for TLS from the first octet, tls for STARTTLS. Anything else is no encryption.",
      "The Perl modules Authen::SASL, Net::SSLeay and IO::Socket::SSL are needed; Debian: libauthen-sasl-perl, libio-socket-ssl-perl.",
      "A patch of somebody else goes out from you; git puts the author's From into the text by itself.",
    ],
    errors: [
      {
        says: "5.7.8 … and other replies",
        means: "git shows our reply without the first number.",
        replies: ["wrong-password", "too-many-guesses", "wrong-sender", "quota"],
      },
      {
        says: "Unable to initialize SMTP properly.",
        means: "Server, port or encryption; --smtp-debug=1 tells more.",
        replies: [],
      },
    ],
  },
  {
    id: "postfix",
    name: "Postfix as a client",
    systems: "Linux, BSD, macOS",
    steps: ({ address }) => [
      "For all mail of the machine: the first two files. sasl_passwd belongs to root, who alone may read it (chmod 600).",
      `For the mail of ${address} alone: the other three in place of the first, and sasl_passwd as it is; relayhost stays what it was.`,
      'Afterwards "postfix reload"; no postmap is needed, because texthash: reads the text itself, on every system.',
    ],
    files: (service) => [
      { name: "/etc/postfix/main.cf", text: mainCf(service) },
      { name: "/etc/postfix/sasl_passwd", text: saslPasswd(service) },
      { name: "/etc/postfix/main.cf, for one sender", text: senderMainCf },
      { name: "/etc/postfix/master.cf, for one sender", text: senderMasterCf(service) },
      { name: "/etc/postfix/sender_transport, for one sender", text: senderTransport(service) },
    ],
    pitfalls: [
      "The key in sasl_passwd is relayhost to the letter, with brackets and port. A bare host name works, too; a host name with a port and no brackets does not.",
      "Several logins on one machine: smtp_sender_dependent_authentication = yes, and the sender's address as the key. Take care then that mail from it goes nowhere else: each server that offers a login would be sent the password.",
      "TLS from the first octet is smtp_tls_wrappermode = yes. It holds for all that this smtp(8) sends: hence a transport of its own for one sender.",
      "Cron's mail comes from root@host, which is not your address: sender_canonical_maps gives it one that is, or have an alias made.",
      "The Cyrus modules for PLAIN must be there; Debian: libsasl2-modules.",
      "hash: in older recipes fails where Postfix was built without Berkeley DB.",
    ],
    errors: [
      {
        says: "status=deferred (SASL authentication failed; server … said: …)",
        means: "Our reply follows. Postfix keeps the message and tries again.",
        replies: ["wrong-password", "too-many-guesses", "no-check", "frozen"],
      },
      {
        says: "status=bounced (host … said: 530 5.7.0 Authentication required)",
        means: "No password was found: the key in sasl_passwd is not what relayhost says.",
        replies: ["no-login"],
      },
      {
        says: "status=bounced (host … said: 550 5.7.1 …)",
        means: "The sender is not one of the login's addresses.",
        replies: ["wrong-sender"],
      },
      {
        says: "SASL authentication failed; cannot authenticate to server …: no mechanism available",
        means: "libsasl2-modules is missing, or smtp_sasl_security_options has noplaintext.",
        replies: [],
      },
      {
        says: "status=deferred (… said: 450 4.7.1 …)",
        means: "A limit; Postfix tries again by itself.",
        replies: ["quota"],
      },
    ],
  },
  {
    id: "exim",
    also: ["exim4"],
    name: "Exim as a client",
    systems: "Linux, BSD",
    steps: ({ host, starttls, login }) => [
      "Put each driver into its part of the configuration: the router in front of the one for other hosts, which it replaces.",
      "The password stands alone in its file, without a line end; only Exim's group may read it (chmod 640).",
      ...(starttls === undefined
        ? []
        : [
            `Debian's own way: dpkg-reconfigure exim4-config, "mail sent by smarthost", ${host}::${starttls}; then a line ${host}:${login}:PASSWORD in /etc/exim4/passwd.client.`,
          ]),
    ],
    files: (service) => [{ name: "/etc/exim4/exim4.conf", text: eximConf(service) }],
    pitfalls: [
      'A "^" in the password must be written twice.',
      "With Debian's passwd.client the name is the one that the address leads back to: put that into the file where it is another.",
    ],
    errors: [
      {
        says: "… authenticator failed … 535 5.7.8 … in mainlog",
        means: "Our reply; the message stays in the queue.",
        replies: ["wrong-password", "too-many-guesses", "frozen"],
      },
      {
        says: "SMTP error from remote mail server after …: 550 5.7.1 …",
        means: "The sender is not one of the login's addresses.",
        replies: ["wrong-sender", "quota"],
      },
    ],
  },
  {
    id: "opensmtpd",
    also: ["smtpd"],
    name: "OpenSMTPD as a client",
    systems: "OpenBSD, Linux",
    steps: () => [
      'Put the lines into the file, in place of other "match … for any".',
      "The file with the password belongs to root and smtpd's group, and nobody else reads it (chmod 640).",
      "smtpd -n tells mistakes; then start it anew.",
    ],
    files: (service) => [
      { name: "smtpd.conf", text: smtpdConf(service) },
      { name: "/etc/mail/secrets", text: `submission ${service.login}:PASSWORD\n` },
    ],
    pitfalls: [
      'The word before "@" in the address is the label in the file of secrets, not the login.',
      'smtps:// is TLS from the first octet, smtp+tls:// is STARTTLS that must succeed; "smtp://" would take none as well.',
    ],
    errors: [
      {
        says: 'result="TempFail" or "PermFail" stat="535 5.7.8 …"',
        means: "stat is our reply.",
        replies: ["wrong-password", "too-many-guesses", "wrong-sender", "quota"],
      },
    ],
  },
  {
    id: "swaks",
    name: "swaks",
    systems: "Linux, BSD, macOS",
    steps: (service) => [
      `swaks -f ${service.address} -t ${service.address} -s ${service.host} -p ${service.port} ${security(service, "-tlsc", "-tls")} -tls-verify -au ${service.login} -ap`,
      '"tpa-submit probe" takes the same words.',
    ],
    pitfalls: [
      "A password behind -ap can be read by every user of the machine: without it, swaks asks.",
      "Some versions check no certificate unless they are told to (-tls-verify).",
    ],
    errors: [
      {
        says: "*** No authentication type succeeded, exit status 28",
        means: "The line above it is our reply.",
        replies: ["wrong-password", "too-many-guesses", "frozen"],
      },
      {
        says: "<** and a reply",
        means: "The line is our reply.",
        replies: ["wrong-sender", "no-login", "tls-first", "quota"],
      },
    ],
  },
  {
    id: "phpmailer",
    also: ["php"],
    name: "PHPMailer",
    systems: "wherever PHP runs",
    steps: () => ["Set it up like this; the password comes from the environment, not from the source."],
    files: (service) => [{ name: "in your program", text: phpMailer(service) }],
    pitfalls: [
      "The visitor's address of a contact form is for addReplyTo(); the sender is yours.",
      "SMTPOptions that turn off the check of certificates give the password to anybody in between.",
    ],
    errors: [
      {
        says: "SMTP Error: Could not authenticate.",
        means: "With SMTPDebug = 2 it shows our reply.",
        replies: ["wrong-password", "too-many-guesses", "frozen"],
      },
      {
        says: "SMTP Error: The following recipients failed / data not accepted.",
        means: "With SMTPDebug = 2 it shows our reply.",
        replies: ["wrong-sender", "quota", "too-large", "recipients"],
      },
      { says: "SMTP connect() failed.", means: "Server, port or SMTPSecure.", replies: [] },
    ],
  },
  {
    id: "python",
    also: ["smtplib"],
    name: "Python",
    systems: "wherever Python runs",
    steps: () => [
      "Python's own smtplib is enough; the password comes from the environment, not from the source.",
    ],
    files: (service) => [{ name: "in your program", text: python(service) }],
    pitfalls: [
      "Without a context smtplib checks no certificate.",
      "SMTP_SSL is for the port with TLS, SMTP with starttls() for the other one.",
    ],
    errors: [
      {
        says: "smtplib.SMTPAuthenticationError: (535, …)",
        means: "Our reply, with its code.",
        replies: ["wrong-password", "too-many-guesses", "frozen"],
      },
      {
        says: "smtplib.SMTPNotSupportedError: SMTP AUTH extension not supported by server.",
        means: "starttls() was left out: before it no login is offered.",
        replies: ["tls-first"],
      },
      {
        says: "smtplib.SMTPSenderRefused, SMTPRecipientsRefused, SMTPDataError",
        means: "Our reply, with its code.",
        replies: ["wrong-sender", "no-login", "quota", "too-large", "unclear-author", "line-ends"],
      },
    ],
  },
];

/** Files that a program takes as they are, by the word for --format. */
export const programFiles: Readonly<
  Record<"msmtprc" | "muttrc" | "gitconfig", (service: Service) => string>
> = {
  msmtprc: (service) => `# ~/.msmtprc, chmod 600\n${msmtprc(service)}`,
  muttrc: (service) => `# ~/.muttrc\n${muttrc(service)}`,
  gitconfig,
};

/** The same for Postfix; the password stands in a file of its own. */
export const mainCfFile = (service: Service): string => `# /etc/postfix/main.cf
${mainCf(service)}
# /etc/postfix/sasl_passwd, root's alone (chmod 600), has one line, whose key is relayhost to the letter:
# ${saslPasswd(service)}`;
