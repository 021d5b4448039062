import { describe, expect, test } from "vitest";
import { authorizedLine, formatKeyFile, parseKeyFile, readKey } from "../../../src/ssh/key-file.ts";

const key = "AAAAC3NzaC1lZDI1NTE5AAAAIJfZ2q0Qy0d0K3mJ0e4bQ8Jk0w3l9m7n5p1r2t4v6x8z";
const good = { login: "user1", options: [], type: "ssh-ed25519", key };

describe("readKey()", () => {
  test.each([
    [`ssh-ed25519 ${key}`, []],
    [`ssh-ed25519 ${key} user1@home, "quoted"`, []],
    [`from="192.0.2.0/24,!192.0.2.9" ssh-ed25519 ${key}`, ['from="192.0.2.0/24,!192.0.2.9"']],
    [
      `no-pty,from="2001:db8::/32",expiry-time="20270101",no-X11-forwarding ssh-ed25519 ${key} me`,
      ['from="2001:db8::/32"', 'expiry-time="20270101"'],
    ],
    [`restrict ssh-ed25519 ${key}`, []],
  ])("takes %s", (text, options) => {
    expect(readKey("user1", text)).toEqual({ ...good, options });
  });

  test.each([
    ["", /of the type ""/],
    ["ssh-dss AAAAB3NzaC1kc3MAAACBAJ", /of the type/],
    [`command="/bin/sh" ssh-ed25519 ${key}`, /for something else: command$/],
    [`allowed_hosts=a.example.org ssh-ed25519 ${key}`, /for something else: allowed_hosts$/],
    [`environment="A=b" ssh-ed25519 ${key}`, /for something else: environment$/],
    [`from="a\\" ,command="x" ssh-ed25519 ${key}`, /of the type/],
    [`from="$(id)" ssh-ed25519 ${key}`, /for something else: from$/],
    ["ssh-ed25519 not-base64!", /not in Base64/],
    [`ssh-rsa ${key}`, /not of the type that it says/],
    [`cert-authority ssh-ed25519 ${key}`, /for something else: cert-authority$/],
  ])("refuses %s", (text, why) => {
    expect(readKey("user1", text)).toMatch(why);
  });
});

test("the file is read as it was written, and has nobody whose name means something to a shell", () => {
  const keys = [
    { ...good, login: "b" },
    { ...good, options: ['from="192.0.2.1"'] },
    { ...good, login: "a;b" },
    { ...good, login: "-o" },
    { ...good, login: "$(id)" },
  ];
  const text = formatKeyFile(keys);
  expect(text).toBe(`b ssh-ed25519 ${key}\nuser1 from="192.0.2.1" ssh-ed25519 ${key}\n`);
  expect(parseKeyFile(text)).toEqual([keys[0], keys[1]]);
  expect(parseKeyFile(`${text}a"b ssh-ed25519 ${key}\nuser2 ssh-ed25519\n\n#`)).toHaveLength(2);
});

test("sshd is told one command, and nothing beside it", () => {
  const line = authorizedLine(
    { ...good, options: ['from="192.0.2.1"'] },
    { program: "/usr/bin/tpa-submit", socket: "/run/tpa-submit/local" },
  );
  expect(line).toBe(
    `restrict,command="/usr/bin/tpa-submit ssh submit --login user1 --socket /run/tpa-submit/local",from="192.0.2.1" ssh-ed25519 ${key}\n`,
  );
});
