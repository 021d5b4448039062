/** Real mail servers that take mail for example.net and example.org, and keep it in one maildir; nobody@ is refused. */
import { spawnSync } from "node:child_process";
import { chmod, chown, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { runWell, start } from "../tools/child.mjs";
import { freePort, untilListening } from "../tools/port.mjs";
import { pathOf, real } from "../tools/real.ts";
import { startPostfix } from "./postfix.mjs";
import { isRoot } from "./root.ts";

export interface Receiver {
  readonly port: number;
  /** A folder in which each message is a file. */
  readonly mail: string;
  /** What it said and logged. */
  log(): Promise<string>;
  stop(): Promise<void>;
}

const nobody = 65_534;

/** Starts `words` in a folder of its own, with `mail` in it; "FOLDER" and "PORT" in `files` are filled in. */
async function started(
  name: string,
  files: Readonly<Record<string, string>>,
  words: (folder: string) => readonly [program: string, ...words: string[]],
): Promise<Receiver> {
  const folder = await mkdtemp(join(tmpdir(), `tpa-submit-${name}-`));
  await chmod(folder, 0o777); // servers go on as somebody else
  await mkdir(join(folder, "mail"));
  await chmod(join(folder, "mail"), 0o777);
  const port = await freePort();
  for (const [file, text] of Object.entries(files)) {
    await writeFile(join(folder, file), text.replaceAll("FOLDER", folder).replaceAll("PORT", String(port)));
  }
  const [program, ...rest] = words(folder);
  const server = start(program, rest);
  const log = async (): Promise<string> =>
    `${server.output()}${await readFile(join(folder, "mainlog"), "utf8").catch(() => "")}`;
  const stop = async (): Promise<void> => {
    await server.stop();
    await rm(folder, { recursive: true });
  };
  try {
    await untilListening(port);
  } catch (error) {
    const said = await log();
    await stop();
    throw new Error(said, { cause: error });
  }
  return { port, mail: join(folder, "mail/new"), log, stop };
}

export function exim(): Promise<Receiver> {
  const configuration = `primary_hostname = exim.example.net
exim_path = ${pathOf("exim4")}
spool_directory = FOLDER/spool
log_file_path = FOLDER/%slog
pid_file_path = FOLDER/pid
keep_environment =
daemon_smtp_ports = PORT
local_interfaces = 127.0.0.1
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
tls_advertise_hosts =
acl_smtp_rcpt = recipient
acl_smtp_data = message
begin acl
recipient:
  deny local_parts = nobody
       message = 5.1.1 No such user here
  accept
message:
  accept
begin routers
local:
  driver = accept
  transport = keep
begin transports
keep:
  driver = appendfile
  directory = FOLDER/mail
  maildir_format
  user = Debian-exim
begin retry
* * F,1h,1s
`;
  return started("exim", { "exim.conf": configuration }, (folder) => [
    "exim4",
    ...["-C", join(folder, "exim.conf"), "-bdf"],
  ]);
}

/**
 * Debian installs no second mail server beside Postfix, so .ci/run unpacks this one. Its paths and users are built in:
 * it gets a mount namespace with its own of both.
 */
const inNamespace = `set -e
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/group" /etc/group
mount --bind "$2/usr/libexec" /usr/libexec
for place in /var/spool /var/lib /run; do mount -t tmpfs none "$place"; done
mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd
chmod 711 /var/spool/smtpd
`;

const unpackedOpenSmtpd = (): string => join(dirname(pathOf("smtpd") ?? ""), "../..");

/** Its users beside those of this host. */
async function openSmtpdUsers(): Promise<{ readonly passwd: string; readonly group: string }> {
  const [passwd, group] = await Promise.all(
    ["passwd", "group"].map((name) => readFile(`/etc/${name}`, "utf8")),
  );
  return {
    passwd: `${passwd}opensmtpd:x:64990:64990::/:/bin/false\nopensmtpq:x:64991:64991::/:/bin/false\n`,
    group: `${group}opensmtpd:x:64990:\nopensmtpq:x:64991:\n`,
  };
}

/**
 * Runs a script of the shell that finds OpenSMTPD's programs and all that they want; $1 is `folder`, and `mounts` are
 * files that are there in place of the host's. Resolves to what it said.
 */
export async function withOpenSmtpd(
  folder: string,
  mounts: Readonly<Record<string, string>>,
  script: string,
): Promise<string> {
  for (const [name, text] of Object.entries(await openSmtpdUsers()))
    await writeFile(join(folder, name), text);
  const mounted = Object.entries(mounts).map(([at, file]) => `mount --bind "${file}" "${at}"\n`);
  const whole = `exec 2>&1\n${inNamespace}${mounted.join("")}PATH="$2/usr/sbin:$PATH"\n${script}`;
  return runWell("unshare", [
    "-m",
    "-p",
    "-f",
    "--kill-child",
    "sh",
    "-c",
    whole,
    "sh",
    folder,
    unpackedOpenSmtpd(),
  ]);
}

export async function openSmtpd(): Promise<Receiver> {
  const boxes = ["x@example.net", "y@example.net", "user1@example.org"];
  const files = {
    ...(await openSmtpdUsers()),
    "smtpd.conf": `table boxes { ${boxes.map((box) => `"${box}" = "nobody"`).join(", ")} }
listen on 127.0.0.1 port PORT hostname opensmtpd.example.net
action "keep" maildir "FOLDER/mail" virtual <boxes>
match from any for domain { "example.net", "example.org" } action "keep"
`,
  };
  return started("opensmtpd", files, (folder) => [
    "unshare",
    "-m",
    "sh",
    "-c",
    `${inNamespace}exec "$2/usr/sbin/smtpd" -d -f "$1/smtpd.conf"`,
    "sh",
    folder,
    unpackedOpenSmtpd(),
  ]);
}

/** As `real`, for a program that wants root and a namespace or a user of its own. */
function realWith(program: string, name: string, ...check: readonly string[]): boolean {
  if (!real(program, "unshare")) return false;
  const can = isRoot && spawnSync(check[0] ?? "", check.slice(1)).status === 0;
  if (!can)
    process.stderr.write(`\n*** SKIPPED: ${name} wants root and that "${check.join(" ")}" works ***\n`);
  return can;
}

export const realExim = (): boolean => realWith("exim4", "Exim", "id", "Debian-exim");

export const realOpenSmtpd = (): boolean =>
  realWith("smtpd", "OpenSMTPD", "unshare", "-m", "mount", "-t", "tmpfs", "none", "/run");

export async function postfix(): Promise<Receiver> {
  const server = await startPostfix(
    `virtual_mailbox_domains = example.net, example.org
virtual_mailbox_maps = static:box/
virtual_mailbox_base = FOLDER/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:${nobody}
virtual_gid_maps = static:${nobody}
smtpd_recipient_restrictions = check_recipient_access inline:{nobody@example.net=REJECT}
`,
  );
  await mkdir(join(server.folder, "mail"));
  await chown(join(server.folder, "mail"), nobody, nobody);
  return { port: server.port, mail: join(server.folder, "mail/box/new"), log: server.log, stop: server.stop };
}
