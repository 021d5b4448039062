/**
 * Tests against the real thing: Debian's swaks, fail2ban, Postfix and others, where they are installed.
 * `apt-get install` of all of them is what .ci/run does.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, readdirSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { test } from "vitest";

/**
 * Whether all `needs` are met. Call it while tests are being declared:
 *
 *     describe.skipIf(!real("swaks", "dovecot lmtp"))("with the real swaks", () => { … });
 *
 * A need is a program by its name, or a row of `features`: what a program does only with another package beside it.
 * What is missing is said aloud, and the tests are skipped; where the environment has TPA_SUBMIT_INTEROP=required
 * it is a failed test instead, so that a gate cannot be passed by installing nothing.
 */
export function real(...needs: readonly string[]): boolean {
  const missing = needs.filter((need) => !isMet(need));
  if (missing.length === 0) return true;
  const complaint = `not installed: ${missing.map(said).join(", ")}`;
  if (process.env["TPA_SUBMIT_INTEROP"] === "required") {
    test(`needs ${needs.join(", ")}`, () => {
      throw new Error(complaint);
    });
  } else {
    process.stderr.write(`\n*** SKIPPED, ${complaint} (tests with ${needs.join(", ")}) ***\n`);
  }
  return false;
}

interface Feature {
  /** What brings it, to be told where it is missing. */
  readonly from: string;
  readonly isThere: () => boolean;
}

/**
 * A name with a blank is a feature of the program before it. A name without one is a program whose name does not tell
 * enough: a swaks without its Perl modules knows no TLS, and Dovecot 2.4 does not read what was written for 2.3.
 */
const features: Readonly<Record<string, Feature>> = {
  chromium: {
    from: "chromium",
    isThere: () => output("chromium", "--version").includes("Chromium "), // elsewhere it is a hint at another package
  },
  check_mailq: {
    from: "monitoring-plugins-standard",
    isThere: () => isProgram("/usr/lib/nagios/plugins/check_mailq"),
  },
  dovecot: { from: "dovecot-core 2.3", isThere: () => output("dovecot", "--version").startsWith("2.3.") },
  "dovecot lmtp": {
    from: "dovecot-lmtpd",
    isThere: () => isMet("dovecot") && isProgram(join(dovecot("libexec_dir"), "lmtp")),
  },
  "dovecot imap": {
    from: "dovecot-imapd",
    isThere: () =>
      isMet("dovecot") &&
      ["imap-login", "imap"].every((name) => isProgram(join(dovecot("libexec_dir"), name))),
  },
  "dovecot sieve": {
    from: "dovecot-sieve",
    isThere: () =>
      isMet("dovecot lmtp") &&
      pathOf("sievec") !== undefined &&
      isFile(join(dovecot("mail_plugin_dir"), "lib90_sieve_plugin.so")),
  },
  "fail2ban postfix": {
    from: "fail2ban",
    isThere: () => pathOf("fail2ban-regex") !== undefined && isFile("/etc/fail2ban/filter.d/postfix.conf"),
  },
  faketime: {
    from: "libfaketime",
    isThere: () => {
      const library = faketimeLibrary();
      if (library === undefined) return false;
      const environment = { ...process.env, LD_PRELOAD: library, FAKETIME: "-1d" };
      const { stdout } = spawnSync(process.execPath, ["-p", "Date.now()"], {
        env: environment,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
        timeout: 10_000,
      });
      return stdout.trim() !== "" && Date.now() - Number(stdout) > 80_000_000; // a day has 86 400 000 ms
    },
  },
  "git send-email": {
    from: "git-email, libauthen-sasl-perl and libio-socket-ssl-perl",
    isThere: () =>
      isProgram(join(output("git", "--exec-path").trim(), "git-send-email")) &&
      isPerl("Authen::SASL", "IO::Socket::SSL"),
  },
  gsasl: {
    from: "gsasl",
    isThere: () => output("gsasl", "--client-mechanisms").includes("SCRAM-SHA-256-PLUS"),
  },
  msmtp: { from: "msmtp", isThere: () => output("msmtp", "--version").includes("scram-sha-256") },
  "mtail postfix": {
    from: "mtail, with /usr/share/doc",
    isThere: () => pathOf("mtail") !== undefined && isFile(mtailsPostfix),
  },
  "php phpmailer": { from: "libphp-phpmailer", isThere: () => isFile(phpMailer) },
  postgresql: { from: "postgresql", isThere: () => postgresFolder() !== undefined },
  "postfix sasl": {
    from: "libsasl2-modules",
    isThere: () => {
      const folders = ["/usr/lib", "/usr/lib64", ...inside("/usr/lib")];
      return pathOf("postfix") !== undefined && folders.some((at) => isFile(join(at, "sasl2/libplain.so")));
    },
  },
  "systemd-journald": { from: "systemd", isThere: () => isFile("/lib/systemd/systemd-journald") },
  "python3 dkim": {
    from: "python3-dkim and python3-nacl", // the second for Ed25519
    isThere: () =>
      isFile("/usr/lib/python3/dist-packages/dkim/__init__.py") &&
      isFile("/usr/lib/python3/dist-packages/nacl/__init__.py"), // of Debian's python3 alone
  },
  "python3 systemd": {
    from: "python3-systemd",
    isThere: () => isFile("/usr/lib/python3/dist-packages/systemd/journal.py"), // of Debian's python3 alone
  },
  strace: { from: "strace, where it may trace", isThere: () => runs("strace", "-f", "-qq", "true") },
  swaks: {
    from: "swaks, libauthen-sasl-perl, libio-socket-inet6-perl, libnet-dns-perl and libnet-ssleay-perl",
    isThere: () =>
      pathOf("swaks") !== undefined && isPerl("Net::SSLeay", "Net::DNS", "Authen::SASL", "IO::Socket::INET6"),
  },
};

/** The packages of programs that are called otherwise. */
const packages: Readonly<Record<string, string>> = {
  clamd: "clamav-daemon",
  dig: "bind9-dnsutils",
  doveadm: "dovecot-core",
  "dpkg-deb": "dpkg",
  exim4: "exim4-daemon-light",
  "fail2ban-regex": "fail2ban",
  "fail2ban-server": "fail2ban",
  icinga2: "icinga2-bin",
  ip: "iproute2",
  journalctl: "systemd",
  keymgr: "knot",
  knotd: "knot",
  kzonecheck: "knot-dnssecutils",
  ldapmodify: "ldap-utils",
  ldapsearch: "ldap-utils",
  man: "man-db",
  nft: "nftables",
  nsenter: "util-linux",
  pgrep: "procps",
  php: "php-cli",
  postmap: "postfix",
  promtool: "prometheus",
  rsyslogd: "rsyslog",
  script: "bsdutils",
  slapadd: "slapd",
  "smtp-sink": "postfix",
  smtpd: "opensmtpd",
  "systemd-analyze": "systemd",
  "systemd-notify": "systemd",
  unshare: "util-linux",
  xmllint: "libxml2-utils",
};

/** The stock program of mtail for Postfix's log lines. */
export const mtailsPostfix = "/usr/share/doc/mtail/examples/postfix.mtail";

/** What brings the classes of PHPMailer. */
export const phpMailer = "/usr/share/php/libphp-phpmailer/autoload.php";

/** Where the programs of the newest PostgreSQL are: Debian puts a few of them only where others are found. */
export const postgresFolder = (): string | undefined =>
  inside("/usr/lib/postgresql")
    .map((folder) => join(folder, "bin"))
    .filter((folder) =>
      ["postgres", "initdb", "pg_basebackup"].every((name) => isProgram(join(folder, name))),
    )
    .sort()
    .at(-1);

/** What sets the clock of programs with threads, as Node.js is, where it is preloaded. */
export const faketimeLibrary = (): string | undefined =>
  ["/usr/lib", "/usr/lib64", ...inside("/usr/lib")]
    .map((folder) => join(folder, "faketime/libfaketimeMT.so.1"))
    .find(isFile);

/** Each is asked once. */
const met = new Map<string, boolean>();

/** Whether one of the needs is met; says nothing. */
export function isMet(need: string): boolean {
  const known = met.get(need);
  if (known !== undefined) return known;
  const feature = features[need];
  if (feature === undefined && need.includes(" ")) throw new Error(`nobody knows how to tell "${need}"`);
  const answer = feature === undefined ? pathOf(need) !== undefined : feature.isThere();
  met.set(need, answer);
  return answer;
}

const said = (need: string): string => {
  const from = features[need]?.from ?? packages[need];
  return from === undefined || from === need ? need : `${need} (Debian: ${from})`;
};

/** What `program` says; nothing where it is not there or fails. */
function output(program: string, ...words: readonly string[]): string {
  const path = pathOf(program);
  if (path === undefined) return "";
  const { status, stdout } = spawnSync(path, words, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    timeout: 10_000,
  });
  return status === 0 ? stdout : "";
}

function runs(program: string, ...words: readonly string[]): boolean {
  const path = pathOf(program);
  return path !== undefined && spawnSync(path, words, { stdio: "ignore", timeout: 10_000 }).status === 0;
}

const isPerl = (...modules: readonly string[]): boolean =>
  runs("perl", ...modules.map((name) => `-M${name}`), "-e", "1");

/** A setting of Dovecot as it was built. */
const dovecot = (setting: string): string => output("doveconf", "-d", "-h", setting).trim();

/** Where `program` is installed; /usr/sbin and /sbin are searched as well, which a plain user's PATH lacks. */
export function pathOf(program: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, program))
    .find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // not there, or not ours to run: looked for elsewhere
  }
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false; // not there, or below something that is no folder
  }
}

function inside(folder: string): readonly string[] {
  try {
    return readdirSync(folder).map((name) => join(folder, name));
  } catch {
    return [];
  }
}
