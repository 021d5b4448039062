/** What `init` would change: the configuration's lines, and the folders that are missing. */
import { execFile } from "node:child_process";
import { chown, mkdir, readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { commentedSettings } from "../../config/commented.ts";
import { parseConfig } from "../../config/config-file.ts";
import { type Change, type EditedText, setValues } from "../../config/edit.ts";
import type { Config } from "../../config/settings.ts";
import { replaceFile } from "../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { orUndefined } from "../check/context.ts";
import { findUnit } from "../check/unit.ts";
import { currentUser, type SystemUser, userNamed } from "../system-user.ts";
import type { InitAnswers } from "./answers.ts";
import type { PlannedSecret } from "./secrets.ts";

export interface InitPlan {
  readonly file: string;
  /** What the configuration will say. */
  readonly config: Config;
  readonly edited: EditedText;
  /** Whether there is no file yet. */
  readonly isNew: boolean;
  readonly folders: readonly PlannedFolder[];
  readonly secrets: readonly PlannedSecret[];
  /** Whom the relay will run as. */
  readonly user: SystemUser;
  /** Certificate and key that are to be copied to where the service can read them; absent where nothing is. */
  readonly copied?: readonly [certificate: string, key: string];
  /** The first login, which the password file does not have yet; "" for none. */
  readonly login: string;
}

interface PlannedFolder {
  readonly path: string;
  readonly mode: number;
  readonly owner: SystemUser;
}

/** The configuration `file` as it is; "" where there is none. Throws a Failure where it cannot be read. */
export async function currentText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return "";
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.noInput, `${file}: ${errorText(error)}`);
  }
}

/** Throws a Failure where the file has mistakes of its own, or the user is not there. */
export async function planFor(
  file: string,
  source: string,
  { answers, secrets }: { readonly answers: InitAnswers; readonly secrets: readonly PlannedSecret[] },
  name: string,
): Promise<InitPlan> {
  const isRoot = process.geteuid?.() === 0;
  const user = isRoot ? await userNamed(name, "--user") : await currentUser();
  const isNew = source === "";
  const text = isNew ? commentedSettings(file) : source;
  const hasUnit = (await findUnit("tpa-submit.service"))?.config === file;
  const copied = isRoot ? await certificateToCopy(answers) : undefined;
  const placed = copied ? { ...answers, certificate: "", key: "" } : answers;
  const changes = changesFor({ answers: placed, secrets }, text, file, isRoot && !hasUnit ? user.name : "");
  const edited = setValues(text, file, changes);
  const reading = parseConfig(edited.text, file);
  if (!("config" in reading)) throw new Failure(exitStatus.config, reading.mistakes.join("\n"));
  const { config } = reading;
  return {
    file,
    config,
    edited,
    isNew,
    folders: await missingFolders(file, config, user),
    secrets,
    user,
    ...(copied && !(await isSameFile(copied[0], config.tls.certificate)) && { copied }),
    login: await missingLogin(answers.login, config),
  };
}

/** What the package brings, to put a certificate where the service can read it. certbot's own folder is root's alone. */
const installer = "/usr/lib/tpa-submit/certificates/install-certificate";

async function certificateToCopy({ certificate, key }: InitAnswers): Promise<InitPlan["copied"]> {
  if (!certificate.startsWith("/etc/letsencrypt/")) return undefined;
  return (await orUndefined(stat(installer))) === undefined ? undefined : [certificate, key];
}

async function isSameFile(one: string, other: string): Promise<boolean> {
  const [first, second] = await Promise.all([one, other].map((path) => orUndefined(readFile(path, "utf8"))));
  return first !== undefined && first === second;
}

/** What is answered and does not stand there, be it as a default. */
function changesFor(
  { answers, secrets }: { readonly answers: InitAnswers; readonly secrets: readonly PlannedSecret[] },
  text: string,
  file: string,
  user: string,
): readonly Change[] {
  const secretFile = (name: string): string => secrets.find(({ key }) => key === name)?.path ?? "";
  const rows = [
    ["", "hostname", answers.hostname, (config: Config) => config.hostname],
    ["", "domain", answers.domain, (config: Config) => config.domain],
    ["", "user", user, (config: Config) => config.user],
    ["tls", "certificate", answers.certificate, (config: Config) => config.tls.certificate],
    ["tls", "key", answers.key, (config: Config) => config.tls.key],
    ["passwords", "file", answers.passwords, (config: Config) => config.passwords.file],
    ["spool", "directory", answers.spool, (config: Config) => config.spool.directory],
    ["delivery", "relay", answers.relay, ({ delivery }: Config) => relayText(delivery.relay)],
    ["ldap", "url", answers.ldap, (config: Config) => config.ldap.url.join(" ")],
    [
      ...(["delivery", "relay-user", answers.relayUser] as const),
      ({ delivery }: Config) => delivery["relay-user"],
    ],
    [
      ...(["delivery", "relay-password-file", secretFile("relay-password-file")] as const),
      ({ delivery }: Config) => delivery["relay-password-file"],
    ],
    ["ldap", "base", answers.base, (config: Config) => config.ldap.base],
    ["ldap", "bind-dn", answers.bindDn, (config: Config) => config.ldap["bind-dn"]],
    [
      ...(["ldap", "bind-password-file", secretFile("bind-password-file")] as const),
      (config: Config) => config.ldap["bind-password-file"],
    ],
  ] as const;
  const known = standing(text, file, answers);
  return rows.flatMap(([table, key, value, valueIn]) =>
    value === "" || (known && valueIn(known) === value.toLowerCase()) || (known && valueIn(known) === value)
      ? []
      : [{ table, key, value }],
  );
}

/** What the file says as it stands; with the host name and the domain in place where it lacks them. */
function standing(text: string, file: string, { hostname, domain }: InitAnswers): Config | undefined {
  const reading = parseConfig(text, file);
  if ("config" in reading) return reading.config;
  const missing = [
    ...(/^hostname\s*=/m.test(text) ? [] : [`hostname = ${JSON.stringify(`not-${hostname}`)}`]),
    ...(/^domain\s*=/m.test(text) ? [] : [`domain = ${JSON.stringify(`not-${domain}`)}`]),
  ];
  const completed = parseConfig(`${missing.join("\n")}\n${text}`, file);
  return "config" in completed ? completed.config : undefined;
}

function relayText(relays: Config["delivery"]["relay"]): string {
  return relays
    .map((relay) => {
      if (relay.kind === "mx") return "mx";
      return relay.kind === "file"
        ? `file:${relay.directory}`
        : `${relay.kind}://${relay.host}:${relay.port}`;
    })
    .join(" ");
}

/** With the owners and modes that the package's tmpfiles.d has. */
async function missingFolders(
  file: string,
  { passwords, spool, tls }: Config,
  user: SystemUser,
): Promise<readonly PlannedFolder[]> {
  const root: SystemUser = process.geteuid?.() === 0 ? { name: "root", uid: 0, gids: user.gids } : user;
  const wanted: readonly PlannedFolder[] = [
    { path: dirname(file), mode: 0o755, owner: { ...root, gids: root.uid === 0 ? [0] : root.gids } },
    ...(isBelow(dirname(tls.certificate), dirname(file))
      ? [{ path: dirname(tls.certificate), mode: 0o750, owner: root }]
      : []),
    { path: dirname(passwords.file), mode: 0o750, owner: user },
    { path: spool.directory, mode: 0o700, owner: user },
  ];
  const missing: PlannedFolder[] = [];
  for (const folder of wanted) {
    const isThere = (await orUndefined(stat(folder.path))) !== undefined;
    if (!isThere && !missing.some(({ path }) => path === folder.path)) missing.push(folder);
  }
  return missing;
}

const isBelow = (path: string, folder: string): boolean => path.startsWith(`${folder}/`);

/** `login`, or "" where the file lets it in already. */
async function missingLogin(login: string, { passwords, domain }: Config): Promise<string> {
  if (login === "") return "";
  const octets = await orUndefined(readFile(passwords.file));
  if (octets === undefined) return login;
  const { decodePasswordFile, loginKey, parsePasswordFile } = await import("../../passwd/password-file.ts");
  const lines = parsePasswordFile(decodePasswordFile(octets));
  return lines.some((one) => loginKey(one.login, domain) === loginKey(login, domain)) ? "" : login;
}

/** The difference, for people; "" where nothing would change. */
export function planText({
  file,
  edited,
  isNew,
  folders,
  secrets,
  user,
  copied,
  login,
  config,
}: InitPlan): string {
  const octal = (mode: number): string => mode.toString(8).padStart(4, "0");
  const lines = [
    ...folders.map(
      ({ path, mode, owner }) => `make the folder ${path}, mode ${octal(mode)}, of ${owner.name}`,
    ),
    ...(isNew ? [`make ${file}, every setting in a comment, and with`] : []),
    ...(!isNew && edited.edits.length > 0 ? [`change ${file}`] : []),
    ...edited.edits.flatMap(({ line: number, before, after }) => [
      ...(before === undefined ? [] : [`${String(number).padStart(5)} - ${before}`]),
      ...(after === "" ? [] : [`${String(number).padStart(5)} + ${after}`]),
    ]),
    ...secrets.flatMap(({ path, text, isNew: isNewFile }) =>
      text === undefined
        ? []
        : [
            `${isNewFile ? "make" : "put another password into"} ${path}, mode 0600, of ${user.name}${isNewFile ? ", with the password" : ""}`,
          ],
    ),
    ...(copied ? [`copy ${copied.join(" and ")} to ${dirname(config.tls.certificate)}`] : []),
    ...(login === "" ? [] : [`make the login ${login} in ${config.passwords.file}`]),
  ];
  return lines.map((text) => `${text}\n`).join("");
}

/** Does all of it but the login. Throws a Failure where something cannot be made. */
export async function carryOut({
  file,
  edited,
  isNew,
  folders,
  secrets,
  user,
  copied,
}: InitPlan): Promise<void> {
  for (const { path, mode, owner } of folders) {
    await orFailure(path, async () => {
      await mkdir(path, { recursive: true, mode });
      await giveTo(owner, path);
    });
  }
  for (const { path, text } of secrets) {
    if (text === undefined) continue;
    await orFailure(path, () => replaceFile(path, text, { mode: 0o600, ...ownership(user) }));
  }
  if (isNew || edited.edits.length > 0) {
    await orFailure(file, async () => {
      const found = isNew ? undefined : await stat(file);
      await replaceFile(file, edited.text, {
        mode: found === undefined ? 0o644 : found.mode & 0o7777,
        ...(found && { uid: found.uid, gid: found.gid }),
      });
    });
  }
  if (copied) {
    await orFailure(installer, async () => {
      await promisify(execFile)(installer, [...copied], { env: { ...process.env, TPA_SUBMIT_CONFIG: file } });
    });
  }
}

/** Root's files are for `owner`; anybody else's are his own already. */
export async function giveTo(owner: SystemUser, path: string): Promise<void> {
  const { uid, gid } = ownership(owner);
  if (uid !== undefined && gid !== undefined) await chown(path, uid, gid);
}

function ownership({ uid, gids: [gid = uid] }: SystemUser): { readonly uid?: number; readonly gid?: number } {
  return process.geteuid?.() === 0 ? { uid, gid } : {};
}

async function orFailure(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
    throw new Failure(exitStatus.cannotCreate, `${path}: ${errorText(error).trim().replaceAll("\n", "; ")}`);
  }
}
