/**
 * Every setting of tpa-submit.toml, one row each: its kind, its default as it would stand in the file, its help.
 * The reader, the type `Config` and the test of man/tpa-submit.toml.5 come from these rows.
 */

import { routeSettings } from "./route-settings.ts";
import { required, setting, type ValuesOf } from "./schema.ts";
import {
  address,
  addressOrNone,
  choice,
  count,
  directories,
  domainPattern,
  duration,
  fileMode,
  flag,
  folderOrOff,
  helpText,
  hostMark,
  hostName,
  keyPair,
  lineOrNone,
  list,
  logTarget,
  mailAddress,
  milterAddress,
  network,
  oneOrMore,
  optional,
  path,
  pathOrNone,
  portalUrl,
  replyText,
  senderPattern,
  shortName,
  size,
  socketMode,
  text,
} from "./setting-types.ts";

export const settings = {
  hostname: required(hostName, "Name of this host in the greeting, EHLO, Received and Message-ID."),
  domain: required(
    hostName,
    "Mail domain of the logins: user1 owns user1@DOMAIN and may log in with either.",
  ),
  user: setting(text, "", 'Whom to become where root starts the relay; "root" stays root.'),
  group: setting(text, "", 'Group to become; "" for the user\'s own.'),
  listen: {
    submission: setting(list(address), ["0.0.0.0:587", "[::]:587"], "SMTP with STARTTLS (RFC 6409)."),
    submissions: setting(list(address), ["0.0.0.0:465", "[::]:465"], "SMTP inside TLS (RFC 8314)."),
    http: setting(optional(address), "127.0.0.1:9587", "HTTP listener: status page, /metrics and /healthz."),
    "http-names": setting(list(hostName), [], "Further names by which clients of it may call this host."),
    "http-personal": setting(flag, false, "Whether its status page names logins and addresses."),
    proxies: setting(list(network), [], "Proxies that name their clients by the PROXY protocol."),
    local: setting(
      pathOrNone,
      "",
      "Unix socket where programs of this host say whose mail they bring (XCLIENT).",
    ),
    "local-mode": setting(socketMode, "0660", "Its permissions: who may connect may send as anybody."),
    "local-group": setting(text, "", 'Its group; "" for the relay\'s own.'),
    onion: setting(pathOrNone, "", "Unix socket of an onion service, with STARTTLS: tor connects to it."),
    "onion-group": setting(text, "", 'Its group, which tor must have; "" for the relay\'s own.'),
    "onion-name": setting(
      optional(hostName),
      "",
      'Its name in the greeting, such as "abc.onion"; "" for hostname.',
    ),
    "onion-circuits": setting(
      flag,
      false,
      "Whether tor names each circuit there (HiddenServiceExportCircuitID haproxy).",
    ),
  },
  tls: {
    certificate: setting(path, "/etc/tpa-submit/tls/fullchain.pem", "Certificate with its chain, PEM."),
    key: setting(path, "/etc/tpa-submit/tls/privkey.pem", "Its private key, PEM."),
    "client-ca": setting(
      pathOrNone,
      "",
      "CA (PEM) whose client certificates log people in inside TLS (SASL EXTERNAL).",
    ),
    more: setting(
      list(keyPair),
      [],
      "Certificates for further names, each with its key, for clients that ask.",
    ),
  },
  passwords: {
    file: setting(path, "/var/lib/tpa-submit/mail-passwords", "user:hash lines, or a Dovecot passwd-file."),
    workers: setting(count(0), 0, "Threads that check passwords; 0 is one for each processor."),
    queue: setting(count(1), 64, "Checks that may wait; one more is answered 454."),
    "challenge-response": setting(
      flag,
      true,
      "Whether CRAM-MD5 and SCRAM are offered where stored passwords allow them.",
    ),
    "wrong-text": setting(
      replyText,
      "Authentication failed: check your user name and your e-mail password",
      "What a person reads whose password is wrong.",
    ),
  },
  senders: {
    policy: setting(choice("own", "domain", "any"), "own", "Which sender addresses a login may use."),
    aliases: setting(
      pathOrNone,
      "",
      "File of further addresses: lines such as `press@example.org: user1, user2`.",
    ),
    local: setting(
      pathOrNone,
      "",
      "File of the addresses of this host's users: lines such as `www-data: shop@example.org`.",
    ),
  },
  sendmail: {
    maildrop: setting(
      pathOrNone,
      "",
      'Folder where tpa-submit sendmail leaves mail of this host\'s users; "" for none.',
    ),
    aliases: setting(
      pathOrNone,
      "",
      "File of aliases for its recipients without a domain, as aliases(5) has it.",
    ),
  },
  ssh: {
    keys: setting(
      pathOrNone,
      "",
      "File of the keys that let people send by SSH, which tpa-submit sync writes.",
    ),
    account: setting(text, "submit", "The account of this host that they log in to."),
  },
  message: {
    "line-ends": setting(
      choice("refuse", "repair"),
      "refuse",
      "What becomes of a message with a lone CR, a lone LF or a NUL.",
    ),
  },
  /** Each in turn sees what the ones before it have left of a message. */
  milter: {
    each: {
      name: required(shortName, "What the log, the metrics and the client's reply call the filter."),
      address: required(milterAddress, "Where it listens."),
      "when-away": setting(
        choice("tempfail", "accept", "hold", "reject"),
        "tempfail",
        "What becomes of a message when it cannot be asked.",
      ),
      timeout: setting(duration, "30s", "How long a connection to it, and then each answer, may take."),
      deadline: setting(duration, "2m", "How long it may take for one message."),
      privacy: setting(
        choice("full", "shortened"),
        "full",
        "shortened: it learns of the client only the network, and not its name.",
      ),
    },
  },
  limits: {
    "message-size": setting(size, "50M", "Largest message."),
    recipients: setting(
      count(100),
      200,
      "Recipients per message; RFC 5321 section 4.5.3.1.8 wants 100 at least.",
    ),
    "messages-per-hour": setting(count(1), 200, "Messages a login may send in an hour."),
    "recipients-per-day": setting(count(1), 2000, "Recipients a login may write to in a day."),
    "new-recipients-per-day": setting(count(1), 300, "Of these, addresses it has not written to before."),
    "connections-per-address": setting(
      count(1),
      20,
      "Connections at a time from one address (IPv6: one /64).",
    ),
    connections: setting(count(1), 1000, "Connections at a time in all."),
    "onion-connections": setting(
      count(1),
      100,
      "Connections at a time from the onion service, beside these.",
    ),
    "message-memory": setting(
      size,
      "256M",
      "Memory for messages while they come in; beyond it they go to the disk as they come.",
    ),
  },
  spool: {
    directory: setting(path, "/var/spool/tpa-submit", "Where accepted messages wait."),
    lifetime: setting(duration, "5d", "How long delivery is tried before the sender gets the message back."),
    "report-lifetime": setting(
      duration,
      "1d",
      "The same for reports and all else that has no sender: then it is discarded.",
    ),
    "warn-after": setting(optional(duration), "4h", "When the sender is told that a message is late."),
    reserve: setting(size, "10M", "Disk that stays free: beyond it no message is accepted."),
    "reserve-inodes": setting(count(0), 1000, "Inodes that stay free, likewise."),
    journal: setting(flag, true, "Whether new messages go to the front journal first."),
    "journal-segment": setting(size, "16M", "Size of each file of the journal."),
    "journal-largest": setting(
      size,
      "1M",
      "Largest message that goes there; a larger one has files from the start.",
    ),
    "host-mark": setting(
      hostMark,
      "",
      "The digit, 0 to 9 or A to F, in which this host's queue IDs end, where several hosts share a log.",
    ),
    store: setting(
      text,
      "",
      'The PostgreSQL database that several hosts share, "postgresql://USER@HOST/DATABASE"; "" for files in directory.',
    ),
    "store-password-file": setting(pathOrNone, "", "File with the password of its user."),
    "store-ca": setting(
      pathOrNone,
      "",
      "File with the certificate authority of its hosts; none: the system's authorities.",
    ),
    "store-certificate": setting(pathOrNone, "", "File with the certificate by which it knows this host."),
    "store-key": setting(pathOrNone, "", "File with the key of that certificate."),
    lease: setting(
      duration,
      "15s",
      "How long a host of that database may be silent before the others deliver what it has.",
    ),
  },
  control: {
    socket: setting(pathOrNone, "", 'Unix socket for tpa-submit queue; "" for "control" in the spool.'),
  },
  delivery: {
    ...routeSettings,
    "retry-first": setting(duration, "5m", "Delay after the first temporary failure; it doubles each time."),
    "retry-longest": setting(duration, "4h", "Longest delay between two attempts."),
    concurrency: setting(count(1), 100, "Deliveries that move at the same time."),
    "destination-concurrency": setting(
      count(1),
      20,
      "Deliveries under way to one destination; five at the beginning, more while it answers.",
    ),
    nameservers: setting(list(address), [], "DNS servers to ask; none: those of the system."),
    "dnssec-resolver": setting(
      optional(address),
      "",
      "Validating DNS server on loopback, asked in place of nameservers; turns DANE on.",
    ),
    port: setting(count(1), 25, "Port of the hosts that MX records name."),
    "private-addresses": setting(
      flag,
      false,
      "Whether MX records may lead to loopback or private addresses.",
    ),
    "mta-sts": setting(
      flag,
      true,
      "Whether the MTA-STS policies of recipients' domains are kept (RFC 8461).",
    ),
    "mta-sts-port": setting(count(1), 443, "Port of the web servers that have them."),
  },
  /** The first that fits a recipient is its way; [delivery] is for all others. */
  route: {
    each: {
      to: setting(
        oneOrMore(domainPattern),
        [],
        'Domains of recipients: "example.net", ".example.net" for those below it, or "*".',
      ),
      from: setting(
        oneOrMore(senderPattern),
        [],
        'Senders: an address, a domain, ".example.org" for those below it, "<>" for reports, or "*".',
      ),
      "login-domain": setting(oneOrMore(hostName), [], "Domains of the logins that submitted the message."),
      ...routeSettings,
    },
  },
  /** What a large receiver takes at a time; src/server/delivery/provider-terms.ts has a row for each. */
  provider: {
    each: {
      name: required(text, 'A provider, such as "Google" or "Microsoft", or another one with its hosts.'),
      hosts: setting(list(hostName), [], "Ends of the names of its MX hosts, besides those that are known."),
      concurrency: setting(count(0), 0, "Deliveries under way to all its domains together; 0: as built in."),
      "messages-per-session": setting(count(0), 0, "Messages in one session with it; 0: as built in."),
      pause: setting(optional(duration), "", 'First pause after it said 421 or 4.7.x; "": as built in.'),
    },
  },
  dkim: {
    folder: setting(
      pathOrNone,
      "",
      'Keys that sign outgoing mail: DOMAIN/SELECTOR.rsa.pem and .ed25519.pem; "" signs nothing.',
    ),
  },
  /** Domains beside the main one; their logins are written user@NAME. */
  domains: {
    each: {
      name: required(hostName, "The mail domain; its logins are written user1@NAME."),
      "password-file": required(path, "Its password file, as passwords.file is the main domain's."),
      "wrong-text": setting(
        optional(replyText),
        "",
        'As passwords.wrong-text, for its logins; "" for the same words.',
      ),
      help: setting(
        optional(helpText),
        "",
        "Where its people find help: a page or an address, at the end of refusals and reports.",
      ),
      postmaster: setting(
        optional(mailAddress),
        "",
        'Whom its people answer when a message comes back; "" for nobody.',
      ),
      "sender-policy": setting(
        choice("own", "domain", "any"),
        "own",
        "As senders.policy: which sender addresses its logins may use.",
      ),
      "sender-aliases": setting(pathOrNone, "", "As senders.aliases: a file of further addresses of it."),
      "dkim-folder": setting(
        folderOrOff,
        "",
        'Folder of its signing keys; "" for that of [dkim], "off" signs nothing of it.',
      ),
      "ldap-base": setting(text, "", 'Where its accounts are in the directory; "" for ldap.base.'),
      "ldap-filter": setting(text, "", 'Which entries are its accounts; "" for ldap.filter.'),
    },
  },
  "tls-reports": {
    send: setting(
      flag,
      false,
      "Whether domains that ask for it are told daily how TLS with their hosts went (RFC 8460).",
    ),
    organization: setting(lineOrNone, "", 'Who reports, in words; "" for domain.'),
    contact: setting(addressOrNone, "", 'Address for questions; "" for postmaster at domain.'),
    delay: setting(
      duration,
      "4h",
      "Reports leave by chance within this time after the start or midnight (UTC).",
    ),
  },
  log: {
    target: setting(logTarget, "stdout", "Where the mail log goes."),
    format: setting(choice("postfix", "json"), "postfix", "Form of its lines."),
    privacy: setting(
      choice("full", "shortened"),
      "full",
      "shortened: of clients the network, of recipients a digest, in log and history.",
    ),
    "ban-target": setting(
      optional(logTarget),
      "",
      "Where the lines that fail2ban counts go as well, with whole addresses.",
    ),
    "client-address-in-mail": setting(flag, false, "Whether the Received field names the client's address."),
  },
  history: {
    keep: setting(
      duration,
      "7d",
      'How long it is kept what became of messages and logins; "0s" for not at all.',
    ),
    size: setting(size, "1G", "Disk that it takes at most: beyond it the oldest goes."),
    directory: setting(pathOrNone, "", 'Its folder; "" for "events" in the spool.'),
  },
  portal: {
    url: setting(portalUrl, "", 'Address of the portal as people type it; "" for no portal.'),
    names: setting(list(hostName), [], "Further names of it, such as autoconfig.example.org."),
    listen: setting(address, "127.0.0.1:9589", "Where tpa-submit portal listens."),
    certificate: setting(
      pathOrNone,
      "",
      'Its certificate with the chain, PEM; "" behind a proxy that speaks TLS.',
    ),
    key: setting(pathOrNone, "", "Its private key, PEM."),
    proxies: setting(list(network), [], "Proxies that name their clients by X-Forwarded-For."),
    "sign-in": setting(
      choice("ldap", "header"),
      "ldap",
      "ldap: by a bind as the person; header: the proxies say who it is.",
    ),
    "sign-in-header": setting(text, "X-Remote-User", "Field by which they say it."),
    state: setting(path, "/var/lib/tpa-submit-portal", "Folder of its own: the key that seals cookies."),
    idle: setting(duration, "30m", "A session that rests for so long ends."),
    longest: setting(duration, "12h", "Every session ends after that."),
    scheme: setting(text, "BLF-CRYPT", "How new e-mail passwords are hashed."),
    "shortest-password": setting(count(8), 12, "Characters that a password has at least."),
    server: setting(text, "", 'Name of the mail server that people type; "" for hostname.'),
    incoming: setting(optional(address), "", 'Server with the mailboxes, such as "imap.example.net:993".'),
    socket: setting(
      pathOrNone,
      "",
      "Unix socket where serve tells the portal of one login at a time; for no portal none.",
    ),
    "socket-group": setting(text, "", 'Group of that socket; "" for the relay\'s own.'),
  },
  ldap: {
    url: setting(
      directories,
      "",
      "Directory: ldaps://, ldap:// (with starttls) or ldapi://; of several the first that answers.",
    ),
    starttls: setting(flag, true, "Whether ldap:// is secured with STARTTLS."),
    ca: setting(
      pathOrNone,
      "",
      "Certificates (PEM) to trust in place of Mozilla's, which come with Node.js.",
    ),
    "client-certificate": setting(pathOrNone, "", "Certificate (PEM) to log in with (SASL EXTERNAL)."),
    "client-key": setting(pathOrNone, "", "Its private key (PEM)."),
    base: setting(text, "", "Where the accounts are."),
    scope: setting(choice("one", "sub"), "one", "one: directly below the base; sub: anywhere below it."),
    "bind-dn": setting(text, "", 'Whom to bind as; "" for anonymous or EXTERNAL.'),
    "bind-password-file": setting(pathOrNone, "", "File with the password for it."),
    filter: setting(
      text,
      "(&(uid=*)(!(uidNumber=0))(objectClass=shadowAccount))",
      "Which entries are accounts.",
    ),
    "login-attribute": setting(text, "uid", "Attribute with the login."),
    "password-attribute": setting(text, "mailPassword", "Attribute with the hash."),
    "lock-attribute": setting(
      text,
      "userPassword",
      'Main password; a locked one ends mail, too; "" for none.',
    ),
    "status-attribute": setting(text, "accountStatus", 'Attribute that says who has left; "" for none.'),
    "group-attribute": setting(text, "supplementaryGid", 'Attribute with the groups; "" for none.'),
    "expiry-attribute": setting(
      text,
      "",
      'Attribute with the last day, such as "shadowExpire"; "" for none.',
    ),
    "sender-attribute": setting(text, "", "Attribute with further sender addresses, for senders.aliases."),
    "ssh-key-attribute": setting(text, "", 'Attribute with SSH keys, such as "sshRSAAuthKey", for ssh.keys.'),
    "page-size": setting(count(1), 1000, "Entries that are asked for at a time."),
    timeout: setting(duration, "10s", "How long one answer may take."),
    deadline: setting(duration, "60s", "How long a whole conversation may take."),
  },
  sync: {
    format: setting(
      choice("plain", "dovecot"),
      "plain",
      "dovecot: one line for each login, as Dovecot wants.",
    ),
    owner: setting(text, "", 'Owner of the file, a name or a number; "" keeps what it has.'),
    group: setting(text, "", 'Group of the file, a name or a number; "" keeps what it has.'),
    mode: setting(fileMode, "0640", "Permissions of the file."),
    "largest-loss": setting(count(0), 10, "Logins, in percent, that may go at a time."),
    guests: setting(flag, true, "Whether guests may log in."),
    "guest-group": setting(text, "guest", "The group that makes a guest."),
    "retiring-for": setting(duration, "186d", 'How long the status "retiring" keeps the mail.'),
    interval: setting(duration, "2s", "With --watch: how often to ask whether anything changed."),
    "full-interval": setting(duration, "1h", "With --watch: longest time between two whole searches."),
    "retry-longest": setting(duration, "5m", "With --watch: longest pause while the directory is away."),
    "metrics-file": setting(pathOrNone, "", "Metrics for node_exporter's textfile collector (*.prom)."),
    http: setting(optional(address), "", "With --watch: HTTP listener for the same metrics."),
  },
};

/** The whole configuration, nested as the file is. */
export type Config = ValuesOf<typeof settings>;
