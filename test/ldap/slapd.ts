/**
 * A throwaway directory: Debian's slapd on loopback, in a temporary folder, with the parts of userdir-ldap's schema
 * that matter here and its access rules. Needs no root.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type NetConnectOpts } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { generate } from "selfsigned";
import { pathOf } from "../tools/real.ts";

const run = promisify(execFile);

/** Programs that these tests need: `real(...slapdPrograms)`. */
export const slapdPrograms = ["slapd", "slapadd", "ldapmodify"] as const;

export const suffix = "dc=example,dc=org";
export const people = `ou=users,${suffix}`;
/** The one who may read hashes, as in userdir-ldap. */
export const reader = { dn: `uid=sshdist,${people}`, password: "test reader" };
/** Who may do everything and whom no limit binds. */
export const manager = { dn: `cn=admin,${suffix}`, password: "test manager" };

export interface Slapd {
  readonly folder: string;
  readonly ldap: string;
  readonly ldaps: string;
  readonly ldapi: string;
  /** PEM files: the server's certificate, to be trusted; a client's certificate and key, whose DN may read hashes. */
  readonly ca: string;
  readonly clientCertificate: string;
  readonly clientKey: string;
  readonly pid: number;
  /** What slapd says about each operation (its loglevel "stats"). */
  log(): string;
  /** Applies LDIF with `changetype` lines, as the manager; an LDIF without adds entries. */
  modify(ldif: string): Promise<void>;
  signal(name: NodeJS.Signals): void;
  start(): Promise<void>;
  /** Ends slapd at once, the folder stays. */
  kill(): Promise<void>;
  remove(): Promise<void>;
}

export interface SlapdOptions {
  /** Further entries, LDIF; `ou=users` and the reader are there. */
  readonly entries?: string;
  /** Further lines of slapd.conf for the database. */
  readonly database?: string;
  /** The most entries that the reader gets; without it there is no limit. */
  readonly limit?: number;
  /** false: no syncprov, and so no contextCSN. */
  readonly syncprov?: boolean;
  /** "single": mailPassword is SINGLE-VALUE. */
  readonly mailPassword?: "single" | "several";
}

/** Starts one. Loads `entries` with slapadd, which is quick and asks for no rights. */
export async function startSlapd(options: SlapdOptions = {}): Promise<Slapd> {
  const folder = await mkdtemp(join(tmpdir(), "slapd-"));
  await mkdir(join(folder, "data"));
  await certificates(folder);
  await writeFile(join(folder, "slapd.conf"), configuration(folder, options));
  await writeFile(join(folder, "base.ldif"), `${base}\n${options.entries ?? ""}`);
  await run(program("slapadd"), [
    "-q",
    "-w",
    "-f",
    join(folder, "slapd.conf"),
    "-l",
    join(folder, "base.ldif"),
  ]);

  let child: ChildProcess | undefined;
  let said = "";
  let ports = [0, 0];
  const socket = join(folder, "ldapi");
  const urls = () => [
    `ldap://127.0.0.1:${ports[0]}`,
    `ldaps://127.0.0.1:${ports[1]}`,
    `ldapi://${encodeURIComponent(socket)}`,
  ];

  async function start(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      await rm(socket, { force: true });
      if (ports[0] === 0) ports = [await freePort(), await freePort()];
      const started = spawn(
        program("slapd"),
        ["-d", "stats", "-h", urls().join(" "), "-f", join(folder, "slapd.conf")],
        { stdio: ["ignore", "ignore", "pipe"] },
      );
      child = started;
      said = "";
      started.stderr.on("data", (chunk: Buffer) => {
        said += chunk.toString();
      });
      if (await listening(started, ports[0] ?? 0, socket)) return;
      if (attempt === 5) throw new Error(`slapd does not start: ${said}`);
      ports = [0, 0]; // somebody else took the port in between
    }
  }

  async function kill(): Promise<void> {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child?.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }

  await start();
  return {
    folder,
    get ldap() {
      return urls()[0] ?? "";
    },
    get ldaps() {
      return urls()[1] ?? "";
    },
    get ldapi() {
      return urls()[2] ?? "";
    },
    ca: join(folder, "server.pem"),
    clientCertificate: join(folder, "client.pem"),
    clientKey: join(folder, "client.key"),
    get pid() {
      return child?.pid ?? 0;
    },
    log: () => said,
    async modify(ldif) {
      const file = join(folder, "change.ldif");
      await writeFile(file, ldif);
      const as = ["-x", "-D", manager.dn, "-w", manager.password];
      await run(program("ldapmodify"), ["-a", "-H", urls()[2] ?? "", ...as, "-f", file]);
    },
    signal: (name) => void child?.kill(name),
    start,
    kill,
    async remove() {
      child?.kill("SIGCONT");
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A person as userdir-ldap makes them, LDIF; `more` are further lines, which may repeat an attribute. */
export function person(uid: string, more = "", status: "active" | "locked" = "active"): string {
  const main = status === "active" ? "{crypt}$1$abcdefgh$t2kJ3gGPnGv3mHTzjWWMy1" : "{crypt}*LK*";
  return `dn: uid=${uid},${people}
objectClass: inetOrgPerson
objectClass: testAccount
objectClass: shadowAccount
uid: ${uid}
cn: ${uid}
sn: ${uid}
uidNumber: 1000
gidNumber: 1000
homeDirectory: /home/user
userPassword: ${main}
${more}
`.replace(/\n+$/, "\n\n");
}

const base = `dn: ${suffix}
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: ${people}
objectClass: organizationalUnit
ou: users

dn: ${reader.dn}
objectClass: account
objectClass: simpleSecurityObject
uid: sshdist
userPassword: ${reader.password}
`;

function configuration(
  folder: string,
  { database = "", limit, syncprov = true, mailPassword = "several" }: SlapdOptions,
): string {
  return `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
${mailPassword === "single" ? schema.replace(" )", " SINGLE-VALUE )") : schema}
modulepath /usr/lib/ldap
moduleload back_mdb
${syncprov ? "moduleload syncprov" : ""}
pidfile ${folder}/slapd.pid
TLSCertificateFile ${folder}/server.pem
TLSCertificateKeyFile ${folder}/server.key
TLSCACertificateFile ${folder}/client.pem
TLSVerifyClient allow
authz-regexp "gidNumber=[0-9]+[+]uidNumber=${process.getuid?.() ?? 0},cn=peercred,cn=external,cn=auth" "${reader.dn}"
authz-regexp "cn=sync" "${reader.dn}"
database mdb
suffix "${suffix}"
rootdn "${manager.dn}"
rootpw ${JSON.stringify(manager.password)}
directory ${folder}/data
maxsize 1073741824
dbnosync
limits dn.exact="${reader.dn}" size=${limit ?? "unlimited"}
${database}
access to attrs=userPassword,mailPassword
  by dn.exact="${reader.dn}" read
  by self write
  by anonymous auth
  by * compare
access to * by * read
${syncprov ? "overlay syncprov" : ""}
`;
}

/** Attribute names of userdir-ldap under ITU-T X.660's arc for examples (2.999): the numbers mean nothing elsewhere. */
const schema = `attributetype ( 2.999.1.1 NAME 'mailPassword' EQUALITY octetStringMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
attributetype ( 2.999.1.2 NAME 'accountStatus' EQUALITY caseIgnoreIA5Match
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 SINGLE-VALUE )
attributetype ( 2.999.1.3 NAME 'supplementaryGid' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 2.999.1.4 NAME 'mailAlias' EQUALITY octetStringMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
attributetype ( 2.999.1.5 NAME 'keyFingerPrint' EQUALITY caseIgnoreIA5Match
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
attributetype ( 2.999.1.6 NAME 'sshRSAAuthKey' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 2.999.2.1 NAME 'testAccount' AUXILIARY MUST ( cn $ uid $ uidNumber $ gidNumber )
  MAY ( userPassword $ loginShell $ gecos $ homeDirectory $ description $ mailPassword $ accountStatus $
        supplementaryGid $ mailAlias $ keyFingerPrint $ sshRSAAuthKey ) )
`;

async function certificates(folder: string): Promise<void> {
  const made = {
    server: await generate([{ name: "commonName", value: "localhost" }], {
      keyType: "ec",
      curve: "P-256",
      extensions: [
        { name: "basicConstraints", cA: true, critical: true },
        {
          name: "subjectAltName",
          altNames: [
            { type: 2, value: "localhost" },
            { type: 7, ip: "127.0.0.1" },
          ],
        },
      ],
    }),
    client: await generate([{ name: "commonName", value: "sync" }], {
      keyType: "ec",
      curve: "P-256",
      extensions: [{ name: "basicConstraints", cA: true, critical: true }],
    }),
  };
  for (const [name, { cert, private: key }] of Object.entries(made)) {
    await writeFile(join(folder, `${name}.pem`), cert);
    await writeFile(join(folder, `${name}.key`), key, { mode: 0o600 });
  }
}

function program(name: string): string {
  const path = pathOf(name);
  if (path === undefined) throw new Error(`${name} is not installed`);
  return path;
}

/** A port of loopback that nobody has at this moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** Whether it listens at the port and at the socket, which is there before it takes connections; false when it has ended. */
async function listening(child: ChildProcess, port: number, socket: string): Promise<boolean> {
  while (child.exitCode === null && child.signalCode === null) {
    if (existsSync(socket) && (await takes({ port, host: "127.0.0.1" })) && (await takes({ path: socket })))
      return true;
    await pause(20);
  }
  return false;
}

function takes(where: NetConnectOpts): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(where);
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("close", () => socket.destroy());
    socket.once("connect", () => socket.end());
  });
}
