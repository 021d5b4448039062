/**
 * What `tpa-submit check` looks at, one row each. The order is that of the report; man/tpa-submit-check.8, CHECKS, has the
 * same rows, and a test compares.
 */
import { type ExitStatus, exitStatus } from "../../failure.ts";
import type { CheckResult, CheckState } from "../../probe/checkup/judge.ts";

export interface CheckRow {
  /** What is looked at. */
  readonly about: string;
  /** What to do where it is not well and the finding knows nothing better. */
  readonly mend: string;
  /** Of the command, where this is the first that failed. */
  readonly status: ExitStatus;
  /** service: as the user that the service runs as, who meets the files; asker: as whoever runs the check. */
  readonly as: "service" | "asker";
  /** Asks other hosts: left out with --offline. */
  readonly network?: true;
}

const { config, unavailable, cannotCreate } = exitStatus;

export const checks = {
  config: {
    about: "The configuration file: every mistake at once.",
    mend: "Mend each line that is named; tpa-submit.toml(5) explains every setting.",
    status: config,
    as: "asker",
  },
  service: {
    about: "The user that the service runs as, and what its systemd unit needs before it can start.",
    mend: "Make what is missing: systemd-sysusers and systemd-tmpfiles --create do it for the package's files.",
    status: config,
    as: "asker",
  },
  program: {
    about: "Node.js, and whether the service's user may read the program.",
    mend: "Install the program where every user may read it, such as below /usr, not in a home.",
    status: unavailable,
    as: "service",
  },
  files: {
    about: "Who can read and who can change each file that the configuration names.",
    mend: "chown, chgrp or chmod it: the service must read it, nobody else change it, and no secret be open to all.",
    status: config,
    as: "service",
  },
  certificate: {
    about: "Each certificate: its key, its chain, its names against hostname, and the days until its end.",
    mend: "Install the whole chain (fullchain.pem) with its key, and renew it in time.",
    status: config,
    as: "service",
  },
  renewal: {
    about: "Whether a renewed certificate gets to where the relay reads it.",
    mend: "Let certbot, dehydrated or lego run the deploy hook that comes with the package.",
    status: config,
    as: "asker",
  },
  passwords: {
    about:
      "The password file: its age, its logins, lines that let nobody in, hashes that are quickly guessed.",
    mend: "tpa-submit passwd --check tells of each line; tpa-submit passwd --set writes one.",
    status: config,
    as: "service",
  },
  senders: {
    about: "The file of further sender addresses.",
    mend: "Mend the line that is named; senders.aliases in tpa-submit.toml(5) tells the form.",
    status: config,
    as: "service",
  },
  ldap: {
    about: "Where a directory is configured: whether it answers, and whether a sync would pass its guards.",
    mend: "tpa-submit sync --dry-run --verbose shows what it would do, and tpa-submit-sync(8) the guards.",
    status: unavailable,
    as: "service",
    network: true,
  },
  spool: {
    about: "The spool: whether the service can use it, and its format.",
    mend: "Make it a folder of the service's user, mode 0700; an unknown format wants the version that wrote it.",
    status: config,
    as: "service",
  },
  store: {
    about:
      "Where hosts share a database: whether it can be used, its tables, and whether a standby confirms what is promised.",
    mend: "See spool.store in tpa-submit.toml(5); docs/several-hosts.md has the commands.",
    status: unavailable,
    as: "service",
    network: true,
  },
  room: {
    about: "Octets and inodes that are free where the spool is.",
    mend: "Make room, or move the spool; below spool.reserve every message is refused.",
    status: unavailable,
    as: "service",
  },
  routes: {
    about: "How mail leaves, and every file and address that this needs.",
    mend: "See relay and the settings beside it in tpa-submit.toml(5).",
    status: config,
    as: "service",
  },
  dkim: {
    about: "The keys that sign what leaves: whether they can be used, and how old they are.",
    mend: "tpa-submit dkim new, publish and rotate put new ones in their place.",
    status: config,
    as: "service",
  },
  milters: {
    about: "Whether each filter answers, and what it would do with messages.",
    mend: "Start it, or correct the address of its [[milter]]; its socket must be open to the service's user.",
    status: unavailable,
    as: "service",
    network: true,
  },
  log: {
    about: "Whether the log can be written where it shall go, by the service and within its sandbox.",
    mend: "Name another target, let the user write there, or add the folder to ReadWritePaths= of the unit.",
    status: cannotCreate,
    as: "service",
  },
  control: {
    about: "The folder of the control socket.",
    mend: "Make the folder, or name another path in control.socket.",
    status: config,
    as: "service",
  },
  maildrop: {
    about:
      "The folder where sendmail leaves this host's mail, the file of aliases, and whether anything waits there.",
    mend: "See sendmail in tpa-submit.toml(5); tpa-submit-sendmail(8) has an example.",
    status: config,
    as: "service",
  },
  portal: {
    about: "The portal, where one is configured: its settings, and what it can ask the relay.",
    mend: "See portal in tpa-submit.toml(5); tpa-submit-portal(8) has an example.",
    status: config,
    as: "asker",
  },
  ports: {
    about: "Whether each port is free, or this relay's own.",
    mend: "End the other program, or choose another port in [listen].",
    status: unavailable,
    as: "asker",
  },
  limits: {
    about: "How many files the service may have open, against what its settings may take.",
    mend: "Raise LimitNOFILE= of the unit (ulimit -n), or lower limits.connections.",
    status: unavailable,
    as: "asker",
  },
  clock: {
    about: "The clock, against what was written before, and the time zone.",
    mend: "Run a time service such as systemd-timesyncd or chrony, and set the clock.",
    status: unavailable,
    as: "asker",
  },
  relay: {
    about: "What the running relay says of itself.",
    mend: "Start or restart it: systemctl restart tpa-submit; its log tells more.",
    status: unavailable,
    as: "asker",
  },
  resolver: {
    about: "Whether delivery.dnssec-resolver answers, and checks signatures.",
    mend: 'Have it validate, or set delivery.dnssec-resolver to "".',
    status: config,
    as: "asker",
    network: true,
  },
  dns: {
    about: "What the DNS says: addresses of hostname and their names, SRV, SPF, DMARC and MX of the domain.",
    mend: "Publish what is missing; mail programs and receivers look for it.",
    status: unavailable,
    as: "asker",
    network: true,
  },
  selectors: {
    about: "What the DNS has at the selector of each key: nothing, another key, a revoked one, a test.",
    mend: "tpa-submit dkim publish prints the record as it should be.",
    status: unavailable,
    as: "service",
    network: true,
  },
  reach: {
    about: "Whether mail gets out: a greeting from each relay that is named, or from an MX at port 25.",
    mend: "Ask whoever runs the network whether port 25 is blocked; without it, mail needs a relay.",
    status: unavailable,
    as: "asker",
    network: true,
  },
} as const satisfies Readonly<Record<string, CheckRow>>;

export type CheckId = keyof typeof checks;

export const checkIds = Object.keys(checks) as readonly CheckId[];

export const rowOf = (id: CheckId): CheckRow => checks[id];

/** What one check found out about one thing. */
export interface CheckRowResult {
  readonly check: CheckId;
  readonly state: CheckState;
  /** A file, an address; "" where the words say all. */
  readonly subject: string;
  readonly words: string;
  /** Absent where the row's own says enough. */
  readonly advice?: string;
}

/** Of one check, which does not say each time which it is. */
export type Judgement = Omit<CheckRowResult, "check">;

export const fine = (subject: string, words: string): Judgement => ({ state: "ok", subject, words });

export const warn = (subject: string, words: string, advice?: string): Judgement =>
  found("warning", subject, words, advice);

export const fail = (subject: string, words: string, advice?: string): Judgement =>
  found("failed", subject, words, advice);

export const cannotTell = (subject: string, words: string, advice?: string): Judgement =>
  found("unknown", subject, words, advice);

function found(state: CheckState, subject: string, words: string, advice: string | undefined): Judgement {
  return { state, subject, words, ...(advice !== undefined && { advice }) };
}

/** A judgement that the checkup from outside shares. */
export const judged = ([state, words, advice]: CheckResult): Judgement => found(state, "", words, advice);

/** What a Failure's line says, which names its subject and often what to do. */
export const failure = (line: string): Judgement =>
  fail("", line, line.includes("EACCES") ? "Let the service's user read it; see files, above." : undefined);

/** 0 where nothing failed, else the status of the first that did. */
export function statusOfAll(findings: readonly CheckRowResult[]): ExitStatus {
  const first = findings.find(({ state }) => state === "failed");
  return first === undefined ? exitStatus.ok : rowOf(first.check).status;
}
