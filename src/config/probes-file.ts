/**
 * Every setting of probes.toml, one row each, as settings.ts has them for tpa-submit.toml. A test compares these rows with
 * man/tpa-submit-probes.5.
 */
import { type Check, required, type SettingRows, setting, type ValuesOf } from "./schema.ts";
import {
  choice,
  count,
  duration,
  hostName,
  list,
  path,
  pathOrNone,
  type Server,
  type SettingType,
  server,
  text,
} from "./setting-types.ts";
import { type FileSchema, type ParseResult, parseTomlFile, readTomlFile } from "./toml-file.ts";

const serverOrNone: SettingType<Server | null> = {
  expected: `${server.expected}, or "" for that of [submission]`,
  read: (value) => (value === "" ? null : server.read(value)),
};

const mailAddress: SettingType<string> = {
  expected: 'an address such as "probe@example.org"',
  read: (value) => (typeof value === "string" && /^[^\s@<>]+@[^\s@<>]+$/.test(value) ? value : undefined),
};

const mailAddressOrNone: SettingType<string> = {
  expected: `${mailAddress.expected}, or "" for that of [submission]`,
  read: (value) => (value === "" ? "" : mailAddress.read(value)),
};

/** Only its shape: the parts are told apart, and complained about, where they are used. */
const place: SettingType<string> = {
  expected:
    '"imaps://USER@HOST[:PORT][/FOLDER]", "imap://…", "maildir:/DIRECTORY", "lmtp://HOST:PORT" or "smtp://HOST:PORT"',
  read: (value) =>
    typeof value === "string" &&
    /^(?:imaps?:\/\/[^:@/\s]+@[^@/\s]+(?:\/.*)?|maildir:\/.+|(?:smtp|lmtp):\/\/.+:\d+)$/.test(value)
      ? value
      : undefined,
};

const placeOrNone: SettingType<string> = {
  expected: `${place.expected}, or ""`,
  read: (value) => (value === "" ? "" : place.read(value)),
};

/** What stands on one line of a monitor. */
const name: SettingType<string> = {
  expected: "a name of up to 60 letters, digits and . _ -",
  read: (value) => (typeof value === "string" && /^[\w.-]{1,60}$/.test(value) ? value : undefined),
};

const grade = choice("ok", "warning", "critical", "unknown");

export const probeSettings = {
  key: setting(
    path,
    "/var/lib/tpa-submit/probe/key",
    "File with the secret that signs probes, 32 octets or more.",
  ),
  directory: setting(
    path,
    "/var/lib/tpa-submit/probe",
    "Where probes that are under way are noted, and the history is.",
  ),
  keep: setting(duration, "7d", "How long probe mail stays in the mailboxes."),
  remember: setting(duration, "400d", "How long results stay in the history."),
  concurrency: setting(count(1), 10, "Submissions to one server at the same time."),
  interval: setting(duration, "5m", "With --listen: how often each route is probed."),
  "http-names": setting(
    list(hostName),
    [],
    "With --listen: further names by which clients may call this host.",
  ),
  submission: {
    server: setting(serverOrNone, "", "Submission server."),
    login: setting(text, "", 'Login there; "" for none.'),
    "password-file": setting(pathOrNone, "", "File with the password for it."),
    from: setting(mailAddressOrNone, "", "Sender of probes, to whom reports go."),
    ca: setting(
      pathOrNone,
      "",
      "Certificates (PEM) to trust in place of Mozilla's, which come with Node.js.",
    ),
    returns: setting(placeOrNone, "", 'Where reports to that sender arrive; "": where the probes do.'),
    "returns-password-file": setting(pathOrNone, "", "File with the password for that mailbox."),
    "returns-ca": setting(pathOrNone, "", "Certificates (PEM) to trust there."),
    timeout: setting(duration, "30s", "How long one answer may take."),
  },
  grades: {
    inbox: setting(grade, "ok", "In the inbox in time."),
    pending: setting(grade, "ok", "On its way, and not late yet."),
    delayed: setting(grade, "warning", "Not there after warn, and not lost yet."),
    late: setting(grade, "warning", "In the inbox, later than warn."),
    spam: setting(grade, "warning", "In the spam folder."),
    overdue: setting(grade, "critical", "Arrived later than crit."),
    lost: setting(grade, "critical", "Not there after crit."),
    returned: setting(grade, "critical", "Returned to the sender."),
    refused: setting(grade, "critical", "Refused by the submission server."),
    down: setting(grade, "critical", "The submission server cannot be talked with."),
    unseen: setting(grade, "unknown", "The mailbox cannot be looked at."),
  },
  route: {
    each: {
      name: required(name, "Name of the route, in every output."),
      to: required(mailAddress, "Recipient."),
      arrive: required(place, "Where the message is to be looked for."),
      "arrive-password-file": setting(pathOrNone, "", "File with the password for the mailbox."),
      "arrive-ca": setting(pathOrNone, "", "Certificates (PEM) to trust there."),
      "spam-folder": setting(text, "", 'Folder with the spam; "": the one whose special use tells it.'),
      authority: setting(text, "", 'Name in the Authentication-Results that count; "": found out.'),
      warn: setting(duration, "60s", "Later than this is late."),
      crit: setting(duration, "10m", "Later than this is too late, and what is missing is lost."),
      provider: setting(text, "", 'Whose mailbox it is, for the report; "": the recipient\'s domain.'),
      server: setting(serverOrNone, "", "Submission server."),
      login: setting(text, "", "Login there."),
      "password-file": setting(pathOrNone, "", "File with the password for it."),
      from: setting(mailAddressOrNone, "", "Sender."),
    },
  },
};

/** The whole of probes.toml, nested as the file is. */
export type Probes = ValuesOf<typeof probeSettings>;
export type ProbeRoute = Probes["route"][number];

function checksOf({ route }: Probes): readonly Check<Probes>[] {
  return [
    {
      settings: ["route"],
      mistake: (probes) =>
        probes.route.length > 0 ? undefined : "expected at least one [[route]], found none",
    },
    {
      settings: ["submission.returns-password-file", "submission.returns"],
      mistake: ({ submission }) =>
        submission.returns.startsWith("imap") && submission["returns-password-file"] === ""
          ? "expected a file with the mailbox's password, found none"
          : undefined,
    },
    ...route.flatMap((_, index) => checksOfRoute(index)),
  ];
}

function checksOfRoute(index: number): readonly Check<Probes>[] {
  const check = (
    settings: readonly [keyof ProbeRoute, ...(keyof ProbeRoute)[]],
    mistake: (route: ProbeRoute, probes: Probes) => string | undefined,
  ): Check<Probes> => {
    const [first, ...others] = settings;
    return {
      settings: [`route.${index}.${first}`, ...others.map((key) => `route.${index}.${key}`)],
      mistake: (probes) => {
        const route = probes.route[index];
        return route && mistake(route, probes);
      },
    };
  };
  return [
    check(["name"], ({ name: own }, { route }) =>
      route.findIndex(({ name: other }) => other === own) === index
        ? undefined
        : `expected a name for each route, found "${own}" twice`,
    ),
    check(["crit", "warn"], ({ warn, crit }) =>
      warn < crit ? undefined : "expected more than warn, found no more",
    ),
    check(["server"], (route, { submission }) =>
      (route.server ?? submission.server) === null
        ? "expected a server here or in [submission], found neither"
        : undefined,
    ),
    check(["from"], (route, { submission }) =>
      (route.from || submission.from) === ""
        ? "expected a sender here or in [submission], found neither"
        : undefined,
    ),
    check(["password-file", "login"], (route, { submission }) =>
      (route.login || submission.login) !== "" &&
      (route["password-file"] || submission["password-file"]) === ""
        ? "expected a file with the password for the login, found none"
        : undefined,
    ),
    check(["arrive-password-file", "arrive"], ({ arrive, "arrive-password-file": file }) =>
      arrive.startsWith("imap") && file === ""
        ? "expected a file with the mailbox's password, found none"
        : undefined,
    ),
  ];
}

const form: FileSchema<Probes> = {
  rows: probeSettings as SettingRows,
  manual: "tpa-submit-probes(5)",
  checks: checksOf,
  whenMissing: "begin with the example that came with the program",
};

/** The probes that the file `path` describes; throws as `readTomlFile` does. */
export const readProbes = (path: string): Promise<Probes> => readTomlFile(path, form);

/** The probes in `source`; `file` is its name in the mistakes. */
export const parseProbes = (source: string, file: string): ParseResult<Probes> =>
  parseTomlFile(source, file, form);
