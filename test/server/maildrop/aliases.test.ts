import { expect, test } from "vitest";
import { expandRecipient, readLocalAliases } from "../../../src/server/maildrop/aliases.ts";

const file = `# of this host
root: admin@example.net, user1
Postmaster:	root
"web master": www@example.org
www-data: \\www-data, log@example.org
one: two
two: one
list: :include:/etc/list
mixed: "|/usr/bin/program, with comma", user2
long:
   user3,
	user4@example.org
: nobody
no colon
`;

test("readLocalAliases() takes addresses and names, and says what it passes over", () => {
  const { aliases, ignored } = readLocalAliases(file, "/etc/aliases");
  expect([...aliases.keys()]).toEqual([
    "root",
    "postmaster",
    "web master",
    "www-data",
    "one",
    "two",
    "mixed",
    "long",
  ]);
  expect(ignored).toEqual([
    '/etc/aliases:8: ":include:/etc/list" is neither an address nor a name, and is passed over',
    '/etc/aliases:9: "|/usr/bin/program, with comma" is neither an address nor a name, and is passed over',
    '/etc/aliases:13: expected "name: address, address"',
    '/etc/aliases:14: expected "name: address, address"',
  ]);
});

test.each([
  ["root", ["admin@example.net", "user1@example.org"]],
  ["POSTMASTER", ["admin@example.net", "user1@example.org"]],
  ["www-data", ["www-data@example.org", "log@example.org"]],
  ["one", ["one@example.org"]],
  ["long", ["user3@example.org", "user4@example.org"]],
  ["nobody-knows", ["nobody-knows@example.org"]],
  ["user@example.com", ["user@example.com"]],
])("expandRecipient(%j)", (recipient, addresses) => {
  const { aliases } = readLocalAliases(file, "/etc/aliases");
  expect(expandRecipient(recipient, aliases, "example.org")).toEqual(addresses);
});
