import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AccessSettings, readAccess } from "../../src/ldap/access.ts";
import { withDirectory } from "../../src/ldap/connection.ts";
import { type LdapDirectory, type Search, textsOf } from "../../src/ldap/directory.ts";
import { contextCsnOf, isOutdated, namingContextOf } from "../../src/ldap/search.ts";
import { real } from "../tools/real.ts";
import { people, person, reader, type Slapd, slapdPrograms, startSlapd, suffix } from "./slapd.ts";

const hash = "$6$abcdefgh$notreallyahash";
const everyone: Search = {
  base: people,
  scope: "one",
  filter: "(objectClass=shadowAccount)",
  attributes: ["uid", "mailPassword"],
  pageSize: 2,
};

describe.skipIf(!real(...slapdPrograms))("withDirectory() with the real slapd", () => {
  let slapd: Slapd;
  let settings: AccessSettings;

  beforeAll(async () => {
    const entries = ["user1", "user2", "user3", "user4", "user5"]
      .map((uid) => person(uid, `mailPassword: ${hash}`))
      .join("");
    slapd = await startSlapd({ entries });
    const passwordFile = join(slapd.folder, "password");
    await writeFile(passwordFile, `${reader.password}\n`);
    settings = {
      url: [slapd.ldap],
      starttls: true,
      ca: slapd.ca,
      "client-certificate": "",
      "client-key": "",
      "bind-dn": reader.dn,
      "bind-password-file": passwordFile,
      timeout: 5000,
      deadline: 10_000,
    };
  });
  afterAll(() => slapd.remove());

  async function as<Result>(
    change: Partial<AccessSettings>,
    use: (directory: LdapDirectory) => Promise<Result>,
  ): Promise<Result> {
    return withDirectory(await readAccess({ ...settings, ...change }), new AbortController().signal, use);
  }

  async function names(directory: LdapDirectory): Promise<string[]> {
    const found: string[] = [];
    for await (const { entries } of directory.pages(everyone)) {
      for (const entry of entries) {
        found.push(`${textsOf(entry, "UID")[0]} ${textsOf(entry, "mailpassword")[0]}`);
      }
    }
    return found;
  }

  const all = ["user1", "user2", "user3", "user4", "user5"].map((uid) => `${uid} ${hash}`);
  const nobody = { "bind-dn": "", "bind-password-file": "" };

  test("reads all pages over ldap:// with STARTTLS and a password", async () => {
    expect(await as({}, names)).toEqual(all);
  });

  test("reads all pages over ldaps://", async () => {
    expect(await as({ url: [slapd.ldaps] }, names)).toEqual(all);
  });

  test("reads all pages over ldapi:// as whom the Unix socket says we are", async () => {
    expect(await as({ url: [slapd.ldapi], ...nobody }, names)).toEqual(all);
    expect(await as({ url: [slapd.ldapi], ...nobody }, (directory) => directory.whoami())).toBe(
      `dn:${reader.dn}`,
    );
  });

  test.each(["ldap", "ldaps"] as const)("logs in with a client certificate over %s", async (scheme) => {
    const client = { "client-certificate": slapd.clientCertificate, "client-key": slapd.clientKey };
    expect(await as({ url: [slapd[scheme]], ...nobody, ...client }, names)).toEqual(all);
  });

  test("sees no hash as nobody, and says that it is nobody", async () => {
    const seen = await as(nobody, async (directory) => [
      await directory.whoami(),
      ...(await names(directory)),
    ]);
    expect(seen.slice(0, 2)).toEqual(["", "user1 undefined"]);
  });

  test("reads one entry, and undefined for one that is not there", async () => {
    const uid = await as({}, async (directory) => {
      expect(await directory.read(`uid=nobody,${people}`, ["uid"])).toBeUndefined();
      return directory.read(`uid=user1,${people}`, ["uid"]);
    });
    expect(uid && textsOf(uid, "uid")).toEqual(["user1"]);
  });

  test("lets people replace their own password, and nobody else's", async () => {
    const password = "test user5";
    const dn = `uid=user5,${people}`;
    await slapd.modify(`dn: ${dn}\nchangetype: modify\nreplace: userPassword\nuserPassword: ${password}\n`);
    const access = await readAccess(settings, { kind: "simple", dn, password });
    const signal = new AbortController().signal;
    await withDirectory(access, signal, (directory) => directory.replace(dn, "mailPassword", ["$6$new"]));
    const entry = await as({}, (directory) => directory.read(dn, ["mailPassword"]));
    expect(entry && textsOf(entry, "mailPassword")).toEqual(["$6$new"]);
    const other = withDirectory(access, signal, (directory) =>
      directory.replace(`uid=user4,${people}`, "mailPassword", ["$6$new"]),
    );
    await expect(other).rejects.toMatchObject({ status: 77, message: /insufficient access/ });
    await slapd.modify(`dn: ${dn}\nchangetype: modify\nreplace: mailPassword\nmailPassword: ${hash}\n`);
  });

  test("has a state that moves with every change", async () => {
    const state = () =>
      as({}, async (directory) => {
        const top = await namingContextOf(directory, people.toUpperCase());
        expect(top).toBe(suffix);
        return contextCsnOf(directory, top ?? "");
      });
    const before = await state();
    expect(before).not.toBe("");
    expect(await state()).toBe(before);
    await slapd.modify(`dn: uid=user1,${people}\nchangetype: modify\nreplace: gecos\ngecos: moved\n`);
    expect(await state()).not.toBe(before);
  });

  test("has a state that stands still without syncprov, which is noticed", async () => {
    const still = await startSlapd({ syncprov: false, entries: person("user1") });
    const look = () =>
      as({ url: [still.ldapi], "bind-dn": "", "bind-password-file": "" }, async (directory) => {
        expect(await namingContextOf(directory, "dc=example,dc=net")).toBeUndefined();
        const entry = await directory.read(`uid=user1,${people}`, ["entryCSN"]);
        return {
          state: await contextCsnOf(directory, suffix),
          latest: (entry && textsOf(entry, "entryCSN")[0]) ?? "",
        };
      });
    const before = await look();
    expect(isOutdated(before.state, before.latest)).toBe(false);
    await still.modify(`dn: uid=user1,${people}\nchangetype: modify\nreplace: gecos\ngecos: moved\n`);
    const after = await look();
    await still.remove();
    expect(after.state).toBe(before.state);
    expect(isOutdated(after.state, after.latest)).toBe(true);
    expect(isOutdated("", after.latest)).toBe(false);
  });

  test("goes to the next URL when the first cannot be reached", async () => {
    expect(
      await as({ url: ["ldap://127.0.0.1:1", slapd.ldaps] }, (directory) => Promise.resolve(directory.url)),
    ).toBe(slapd.ldaps);
  });

  const refusals: [string, () => Partial<AccessSettings>, number, RegExp][] = [
    [
      "a closed port",
      () => ({ url: ["ldap://127.0.0.1:1"] }),
      69,
      /^ldap:\/\/127\.0\.0\.1:1: connection refused while connecting$/,
    ],
    [
      "two that are away",
      () => ({ url: ["ldap://127.0.0.1:1", "ldapi:///nowhere"] }),
      69,
      /refused while connecting; ldapi:.*no such socket/,
    ],
    ["a certificate nobody vouches for", () => ({ ca: "" }), 69, /self-signed; name it in ldap\.ca/],
    [
      "a wrong password",
      () => ({ "bind-dn": `uid=nobody,${people}` }),
      77,
      /wrong DN or password while logging in as uid=nobody/,
    ],
    [
      "no password file",
      () => ({ "bind-password-file": "/nowhere/password" }),
      66,
      /^ldap\.bind-password-file: cannot read \/nowhere\/password: ENOENT$/,
    ],
    ["an empty password", () => ({ "bind-password-file": "/dev/null" }), 78, /is empty/],
    [
      "a CA file that is none",
      () => ({ "client-key": "/etc/hostname" }),
      78,
      /^ldap\.ca, ldap\.client-key: not usable as PEM/,
    ],
    ["no URL", () => ({ url: [] }), 78, /^ldap\.url/],
    ["a URL that is none", () => ({ url: ["ldap:/db"] }), 78, /^ldap\.url: expected "ldaps:\/\/host"/],
  ];
  test.each(refusals)("tells about %s in one line", async (_, change, status, message) => {
    const failure = await as(change(), names).catch((error: unknown) => error);
    expect(failure).toMatchObject({ status, message });
    expect(String(failure)).not.toContain("\n");
    expect(String(failure)).not.toContain(reader.password);
  });

  test("tells about a filter that is none", async () => {
    const search = { ...everyone, filter: "(&(uid=*)" };
    const failure = as({}, async (directory) => directory.pages(search).next());
    await expect(failure).rejects.toMatchObject({
      status: 78,
      message: /^ldap\.filter: "\(&\(uid=\*\)": the parentheses/,
    });
  });

  test("tells about a base that is not there", async () => {
    const search = { ...everyone, base: "ou=nowhere,dc=example,dc=org" };
    const failure = as({}, async (directory) => directory.pages(search).next());
    await expect(failure).rejects.toMatchObject({
      status: 78,
      message: /no such entry while searching ou=nowhere/,
    });
  });

  test("ends at once when it is told to", async () => {
    const stop = new AbortController();
    const work = withDirectory(await readAccess(settings), stop.signal, async (directory) => {
      slapd.signal("SIGSTOP");
      const asked = names(directory);
      stop.abort(new Error("enough"));
      return asked;
    });
    await expect(work).rejects.toThrow("enough");
    slapd.signal("SIGCONT");
  });
});
