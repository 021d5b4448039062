import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { generate } from "selfsigned";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { program } from "../../demo/program.mjs";
import { type AccessSettings, type LdapLogin, readAccess } from "../../src/ldap/access.ts";
import { withDirectory } from "../../src/ldap/connection.ts";
import { type LdapDirectory, type Search, textsOf, valuesOf } from "../../src/ldap/directory.ts";
import { real } from "../tools/real.ts";
import { hashes } from "./cases.ts";
import { entry, type Fake, message, type Request, result, secureFake, startFake, tag, text } from "./fake.ts";
import { people, person, reader, type Slapd, slapdPrograms, startSlapd } from "./slapd.ts";

const settings: AccessSettings = {
  url: [],
  starttls: false,
  ca: "",
  "client-certificate": "",
  "client-key": "",
  "bind-dn": "",
  "bind-password-file": "",
  timeout: 10_000,
  deadline: 30_000,
};

/** For those that are silent on purpose. */
const hasty = { timeout: 300 };
const simple: LdapLogin = { kind: "simple", ...reader };
const everyone: Search = {
  base: people,
  scope: "one",
  filter: "(uid=*)",
  attributes: ["uid", "mailPassword"],
  pageSize: 1000,
};

async function all(directory: LdapDirectory): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const { entries } of directory.pages(everyone)) {
    for (const one of entries) found.push(textsOf(one, "uid").join(" "));
  }
  return found;
}

async function using<Result>(
  change: Partial<AccessSettings>,
  use: (directory: LdapDirectory) => Promise<Result>,
  login?: LdapLogin,
): Promise<Result> {
  return withDirectory(
    await readAccess({ ...settings, ...change }, login),
    new AbortController().signal,
    use,
  );
}

describe("a directory that misbehaves", () => {
  let fake: Fake | undefined;
  let scratch: string | undefined;
  afterAll(async () => {
    if (scratch !== undefined) await rm(scratch, { recursive: true });
  });
  afterEach(async () => {
    await fake?.close();
    fake = undefined;
  });

  /** A certificate for one name, which can be trusted as it is. */
  async function certificateFor(name: { type: 2; value: string } | { type: 7; ip: string }) {
    const { cert, private: key } = await generate([{ name: "commonName", value: "a directory" }], {
      keyType: "ec",
      curve: "P-256",
      extensions: [
        { name: "basicConstraints", cA: true },
        { name: "subjectAltName", altNames: [name] },
      ],
    });
    scratch ??= await mkdtemp(join(tmpdir(), "certificate-"));
    const ca = join(scratch, "ca.pem");
    await writeFile(ca, cert);
    return { ca, context: createSecureContext({ cert, key }) };
  }

  /** Lets everybody in and answers whoami and search as a good directory does, but for `odd`. */
  async function misbehaving(odd: (request: Request, socket: Socket) => boolean): Promise<string> {
    fake = await startFake((request, socket) => {
      if (!odd(request, socket)) behave(request, socket);
    });
    return fake.url;
  }

  function behave(request: Request, socket: Socket): void {
    if (request.tag === tag.bind) socket.write(message(request.id, tag.bindDone, ...result(0)));
    if (request.tag === tag.extended) socket.write(message(request.id, tag.extendedDone, ...result(0)));
    if (request.tag === tag.search) {
      socket.write(entry(request.id, `uid=user1,${people}`, "uid", "user1"));
      socket.write(message(request.id, tag.searchDone, ...result(0)));
    }
  }

  test("is read when it does not misbehave", async () => {
    const url = await misbehaving(() => false);
    expect(await using({ url: [url] }, all, simple)).toEqual(["user1"]);
  });

  const silent: [string, number, Partial<AccessSettings>, RegExp][] = [
    ["to a login", tag.bind, hasty, /^ldap:\S+ no answer within 0\.3 s while logging in as uid=sshdist/],
    ["to a search", tag.search, hasty, /no answer within 0\.3 s while searching ou=users/],
    [
      "to STARTTLS",
      tag.extended,
      { ...hasty, starttls: true },
      /no answer within 0\.3 s while asking for STARTTLS$/,
    ],
  ];
  test.each(silent)("is given up when it gives no answer %s", async (_, silence, change, message) => {
    const url = await misbehaving((request) => request.tag === silence);
    await expect(using({ ...change, url: [url] }, all, simple)).rejects.toMatchObject({
      status: 75,
      message,
    });
  });

  test("is given up when it agrees to STARTTLS and then says nothing", async () => {
    const url = await misbehaving(() => false);
    const failure = using({ ...hasty, url: [url], starttls: true }, all, simple);
    await expect(failure).rejects.toMatchObject({ status: 75, message: /no answer .* while starting TLS/ });
  });

  test("is given up at the deadline when it keeps one waiting again and again", async () => {
    const url = await misbehaving((request, socket) => {
      if (request.tag !== tag.search) return false;
      const drip = setInterval(
        () => socket.write(entry(request.id, `uid=user1,${people}`, "uid", "user1")),
        50,
      );
      socket.on("close", () => clearInterval(drip));
      return true;
    });
    const failure = using({ url: [url], timeout: 5000, deadline: 400 }, all, simple);
    await expect(failure).rejects.toMatchObject({
      status: 75,
      message: /the deadline of 0\.4 s passed while searching/,
    });
  });

  test.each([tag.bind, tag.search])("is not asked again after it hung up on request %i", async (cut) => {
    const url = await misbehaving((request, socket) => {
      if (request.tag === cut) socket.destroy();
      return request.tag === cut;
    });
    const failure = using({ url: [url] }, all, simple);
    await expect(failure).rejects.toMatchObject({ status: 75, message: /connection lost while/ });
    expect(fake?.connections()).toBe(1);
  });

  test("gets no second connection, on which we would be nobody, when it hangs up between two questions", async () => {
    const url = await misbehaving(() => false);
    const twice = using(
      { url: [url] },
      async (directory) => {
        await all(directory);
        await fake?.close();
        return all(directory);
      },
      simple,
    );
    await expect(twice).rejects.toMatchObject({ status: 75, message: /connection lost while searching/ });
    expect(fake?.connections()).toBe(1);
  });

  test("cannot smuggle plain text into TLS behind its answer to STARTTLS", async () => {
    const { context, ca } = await certificateFor({ type: 7, ip: "127.0.0.1" });
    const answer = (request: Request, socket: Socket): boolean => {
      if (request.tag !== tag.extended) return false;
      // The beginning of an entry, long enough to swallow what the directory says next, inside TLS.
      const forged = entry(2, `uid=root,${people}`, "uid", "r".repeat(100)).subarray(0, 60);
      socket.write(Buffer.concat([message(request.id, tag.extendedDone, ...result(0)), forged]));
      secureFake(socket, context, behave);
      return true;
    };
    const url = await misbehaving(answer);
    expect(await using({ url: [url], starttls: true, ca }, all, simple)).toEqual(["user1"]);
  });

  test("is told nothing when its certificate has another name", async () => {
    const { context, ca } = await certificateFor({ type: 2, value: "db.example.org" });
    const seen: number[] = [];
    const url = await misbehaving((request, socket) => {
      seen.push(request.tag);
      if (request.tag !== tag.extended) return false;
      socket.write(message(request.id, tag.extendedDone, ...result(0)));
      secureFake(socket, context, ({ tag: asked }) => seen.push(asked));
      return true;
    });
    const failure = using({ url: [url], starttls: true, ca }, all, simple);
    await expect(failure).rejects.toMatchObject({
      status: 69,
      message: /does not match certificate's altnames/,
    });
    expect(seen).toEqual([tag.extended]);
  });

  test("is not spoken to in plain text when it refuses STARTTLS", async () => {
    const seen: number[] = [];
    const url = await misbehaving((request, socket) => {
      seen.push(request.tag);
      if (request.tag !== tag.extended) return false;
      socket.write(message(request.id, tag.extendedDone, ...result(2, "unsupported extended operation")));
      return true;
    });
    const failure = using({ url: [url], starttls: true }, all, simple);
    await expect(failure).rejects.toMatchObject({
      status: 69,
      message: /protocol error while asking for STARTTLS/,
    });
    expect(seen).not.toContain(tag.bind);
  });

  test("is left when it says something that the library cannot read", async () => {
    const url = await misbehaving((request, socket) => {
      if (request.tag !== tag.search) return false;
      socket.write(
        Buffer.concat([
          entry(request.id, `uid=user1,${people}`, "uid", "user1"),
          message(request.id, tag.intermediate, text("")),
          message(request.id, tag.searchDone, ...result(0)),
        ]),
      );
      return true;
    });
    await expect(using({ url: [url] }, all, simple)).rejects.toMatchObject({ status: 75 });
  });

  test("does not get away with half a result when it hits a size limit", async () => {
    const url = await misbehaving((request, socket) => {
      if (request.tag !== tag.search) return false;
      socket.write(entry(request.id, `uid=user1,${people}`, "uid", "user1"));
      socket.write(message(request.id, tag.searchDone, ...result(4)));
      return true;
    });
    await expect(using({ url: [url] }, all, simple)).rejects.toMatchObject({ code: 4, status: 69 });
  });

  test("may spell attributes as it likes; values come as the octets that were sent", async () => {
    const values = [Buffer.from("\ufeff$1$"), Buffer.from([0xff, 0x00]), Buffer.alloc(0)];
    const url = await misbehaving((request, socket) => {
      if (request.tag !== tag.search) return false;
      socket.write(entry(request.id, `uid=user1,${people}`, "MAILPASSWORD", ...values));
      socket.write(message(request.id, tag.searchDone, ...result(0)));
      return true;
    });
    const found = await using(
      { url: [url] },
      (directory) => directory.read(people, ["mailPassword"]),
      simple,
    );
    expect(found && valuesOf(found, "mailPassword")).toEqual(values);
    expect(found && valuesOf(found, "uid")).toEqual([]);
  });

  test("may not know who we are", async () => {
    const url = await misbehaving((request, socket) => {
      if (request.tag !== tag.extended) return false;
      socket.write(message(request.id, tag.extendedDone, ...result(2)));
      return true;
    });
    expect(await using({ url: [url] }, (directory) => directory.whoami(), simple)).toBeUndefined();
  });

  test("cannot write on our terminal with its error texts", async () => {
    const url = await misbehaving((request, socket) => {
      if (request.tag !== tag.bind) return false;
      socket.write(message(request.id, tag.bindDone, ...result(49, "no\u001b[31m\nway")));
      return true;
    });
    await expect(using({ url: [url] }, all, simple)).rejects.toThrow(
      /wrong DN or password while logging in as \S+ \("no\\u001b\[31m\\nway"\)$/,
    );
  });

  test("is not asked with an empty password, which some would take for a login", async () => {
    const url = await misbehaving(() => false);
    const failure = using({ url: [url] }, all, { kind: "simple", dn: reader.dn, password: "" });
    await expect(failure).rejects.toMatchObject({ status: 78, message: /must not be empty/ });
  });
});

interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly milliseconds: number;
}

/** Runs the program to its end. */
function sync(
  config: string,
  args: readonly string[] = [],
  environment: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  const began = performance.now();
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [program, "sync", "--config", config, ...args],
      { env: { ...process.env, ...environment } },
      (_, stdout, stderr) => {
        const milliseconds = performance.now() - began;
        resolve({ status: child.exitCode ?? -1, stdout, stderr, milliseconds });
      },
    );
  });
}

describe.skipIf(!real(...slapdPrograms))("tpa-submit sync with a slapd in trouble", () => {
  const before = `user1:${hashes["md5"]}\nuser2:${hashes["md5"]}\n`;
  let folder: string;
  let slapd: Slapd;
  let config: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "trouble-"));
    const entries = Array.from({ length: 40 }, (_, index) =>
      person(`user${index}`, `mailPassword: ${hashes["blf"]}`),
    );
    slapd = await startSlapd({ entries: entries.join("") });
    config = join(folder, "tpa-submit.toml");
    await writeFile(join(folder, "password"), reader.password);
  });
  afterAll(async () => {
    await slapd?.remove();
    await rm(folder, { recursive: true });
  });

  async function prepare(ldap: string, more = ""): Promise<void> {
    await writeFile(join(folder, "mail-passwords"), before);
    await writeFile(
      config,
      `hostname = "mail.example.org"
domain = "example.org"
[passwords]
file = "${folder}/mail-passwords"
[ldap]
${ldap}
ca = "${slapd.ca}"
base = "${people}"
bind-dn = "${reader.dn}"
bind-password-file = "${folder}/password"
timeout = "1s"
deadline = "3s"
[sync]
metrics-file = "${folder}/sync.prom"
${more}
`,
    );
  }

  /** One clear line, the file untouched, within the deadline. */
  async function expectRefusal(ended: Ended, status: number, line: RegExp): Promise<void> {
    expect(ended.stderr).toMatch(line);
    expect(ended.stderr.trim().split("\n")).toHaveLength(1);
    expect(ended).toMatchObject({ status, stdout: "" });
    expect(ended.milliseconds).toBeLessThan(9000); // three seconds, and a machine that has other things to do
    expect(await readFile(join(folder, "mail-passwords"), "utf8")).toBe(before);
  }

  const ways = ["ldap", "ldaps", "ldapi"] as const;

  test.each(ways)("brings everybody over %s, and ends", async (way) => {
    await prepare(`url = "${slapd[way]}"`);
    const ended = await sync(config, ["--verbose"]);
    expect(ended).toMatchObject({ status: 0, stdout: "" });
    expect(ended.stderr).toMatch(/mail-passwords replaced: 40 logins, 38 added, 2 changed\n$/);
    expect((await readFile(join(folder, "mail-passwords"), "utf8")).split("\n")).toHaveLength(41);
    expect((await stat(join(folder, "mail-passwords"))).mode & 0o777).toBe(0o640);
    expect(await readFile(join(folder, "sync.prom"), "utf8")).toContain('users{scheme="BLF-CRYPT"} 40\n');
  });

  test.each(ways)("slapd hangs without an answer over %s", async (way) => {
    await prepare(`url = "${slapd[way]}"`);
    slapd.signal("SIGSTOP");
    const ended = await sync(config);
    slapd.signal("SIGCONT");
    await expectRefusal(ended, 75, /^tpa-submit sync: ldap\S+: no answer within 1 s while \S/);
    expect(await readFile(join(folder, "sync.prom"), "utf8")).toContain("last_run_success 0\n");
  });

  test("a size limit of the directory", async () => {
    await prepare(`url = "${slapd.ldapi}"\npage-size = 10`);
    const limited = await startSlapd({
      entries: Array.from({ length: 40 }, (_, index) =>
        person(`user${index}`, `mailPassword: ${hashes["blf"]}`),
      ).join(""),
      limit: 25,
    });
    await prepare(`url = "${limited.ldapi}"\npage-size = 10`);
    const ended = await sync(config);
    await limited.remove();
    await expectRefusal(
      ended,
      65,
      /stays as it is: the directory stopped after 20 entries: .*--allow-partial allows it once/,
    );
  });

  test("a referral to another directory", async () => {
    const dn = `cn=elsewhere,${people}`;
    await slapd.modify(
      `dn: ${dn}\nobjectClass: referral\nobjectClass: extensibleObject\ncn: elsewhere\nref: ldap://db2.example.org/${dn}\n`,
    );
    await prepare(`url = "${slapd.ldapi}"`);
    const ended = await sync(config);
    await slapd.modify(`dn: ${dn}\ncontrol: 2.16.840.1.113730.3.4.2\nchangetype: delete\n`);
    await expectRefusal(
      ended,
      65,
      /stays as it is: a part of the tree is elsewhere .*--allow-referral allows it once/,
    );
  });

  test("the reader has lost the right to read", async () => {
    await prepare(`url = "${slapd.ldapi}"\nstarttls = false`);
    const ended = await sync(config, ["--allow-shrink"]);
    expect(ended.status).toBe(0);
    await prepare(`url = "${slapd.ldap}"\npassword-attribute = "description"`);
    await expectRefusal(
      await sync(config),
      65,
      /no logins at all \(left out: 40 no-password\); .*--allow-empty/,
    );
  });

  test("an earlier shape of the file with more logins in it", async () => {
    await prepare(`url = "${slapd.ldapi}"\nfilter = "(uid=user1)"`);
    await expectRefusal(
      await sync(config),
      65,
      /1 of 2 logins would go, more than 10 in a hundred; if that is right, --allow-shrink allows it once$/m,
    );
    expect((await sync(config, ["--allow-shrink"])).status).toBe(0);
    expect(await readFile(join(folder, "mail-passwords"), "utf8")).toBe(`user1:${hashes["blf"]}\n`);
  });

  test("debugging that would print hashes", async () => {
    await prepare(`url = "${slapd.ldapi}"`);
    const ended = await sync(config, [], { NODE_DEBUG: "ldapts" });
    await expectRefusal(ended, 64, /NODE_DEBUG would print password hashes/);
  });

  test("slapd is killed during the search", async () => {
    const access = await readAccess(
      { ...settings, url: [slapd.ldap], ca: slapd.ca, starttls: true, timeout: 5000, deadline: 20_000 },
      simple,
    );
    const work = withDirectory(access, new AbortController().signal, async (directory) => {
      for await (const page of directory.pages({ ...everyone, pageSize: 10 })) {
        expect(page.entries).toHaveLength(10);
        await slapd.kill();
      }
    });
    await expect(work).rejects.toMatchObject({ status: 75, message: /connection lost while searching/ });
    await slapd.start();
  });

  test("slapd is killed after STARTTLS", async () => {
    const access = await readAccess(
      { ...settings, url: [slapd.ldap], ca: slapd.ca, starttls: true, timeout: 5000, deadline: 20_000 },
      simple,
    );
    const began = performance.now();
    const work = withDirectory(access, new AbortController().signal, async (directory) => {
      await slapd.kill();
      return all(directory);
    });
    await expect(work).rejects.toMatchObject({ status: 75, message: /connection lost while searching/ });
    expect(performance.now() - began).toBeLessThan(4000);
  });

  test.each(ways)("slapd is not there over %s", async (way) => {
    await slapd.kill();
    await prepare(`url = "${slapd[way]}"`);
    await expectRefusal(
      await sync(config),
      69,
      /^tpa-submit sync: ldap\S+: (connection refused|there is no such socket) while connecting$/m,
    );
  });
});
